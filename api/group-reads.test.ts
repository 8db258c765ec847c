import { describe, expect, it } from '@jest/globals';
import type { TenantId } from '../domain/ids.ts';
import { groupReads } from './group-reads.ts';

const A = 'a' as string as TenantId;
const B = 'b' as string as TenantId;

/** A read whose answers are let go by hand. */
function heldRead() {
  const groups: { tenant: TenantId; items: readonly number[]; answer: () => void; fail: (error: Error) => void }[] = [];
  const arrivals: (() => void)[] = [];
  const read = (tenant: TenantId, items: readonly number[]): Promise<number[]> =>
    new Promise((resolve, reject) => {
      groups.push({ tenant, items, answer: () => resolve(items.map((item) => item * 10)), fail: reject });
      for (const arrived of arrivals.splice(0)) arrived();
    });
  const untilGroups = async (count: number): Promise<void> => {
    while (groups.length < count) await new Promise<void>((resolve) => arrivals.push(resolve));
  };
  return { groups, read, untilGroups };
}

describe('reads in groups', () => {
  it('lets what is asked during a read share the next one, each with its own answer', async () => {
    const { groups, read, untilGroups } = heldRead();
    const ask = groupReads(read);
    const first = ask(A, 1);
    await untilGroups(1);
    const others = [ask(A, 2), ask(A, 3)];
    groups[0]?.answer();
    await untilGroups(2);
    groups[1]?.answer();
    expect(await first).toBe(10);
    expect(await Promise.all(others)).toEqual([20, 30]);
    expect(groups.map(({ items }) => items)).toEqual([[1], [2, 3]]);
  });

  it('cuts a group at its bound', async () => {
    const { groups, read, untilGroups } = heldRead();
    const ask = groupReads(read, 2);
    const all = [ask(A, 1), ask(A, 2), ask(A, 3)];
    await untilGroups(1);
    groups[0]?.answer();
    await untilGroups(2);
    groups[1]?.answer();
    expect(await Promise.all(all)).toEqual([10, 20, 30]);
    expect(groups.map(({ items }) => items)).toEqual([[1, 2], [3]]);
  });

  it('reads tenants beside each other, never together', async () => {
    const { groups, read, untilGroups } = heldRead();
    const ask = groupReads(read);
    const all = [ask(A, 1), ask(B, 2)];
    await untilGroups(2);
    for (const group of groups) group.answer();
    expect(await Promise.all(all)).toEqual([10, 20]);
    expect(groups.map(({ tenant, items }) => [tenant, items])).toEqual([
      [A, [1]],
      [B, [2]],
    ]);
  });

  it('fails the group whose read fails and goes on with the next', async () => {
    const { groups, read, untilGroups } = heldRead();
    const ask = groupReads(read);
    const first = ask(A, 1);
    await untilGroups(1);
    const second = ask(A, 2);
    groups[0]?.fail(new Error('no connection'));
    await expect(first).rejects.toThrow('no connection');
    await untilGroups(2);
    groups[1]?.answer();
    expect(await second).toBe(20);
  });
});
