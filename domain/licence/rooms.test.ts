import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { OrgUnitId } from '../ids.ts';
import { type Counter, type PeriodRoom, roomOf, takeUnit } from './rooms.ts';

const unit = (name: string): OrgUnitId => name as OrgUnitId;
const counter = (quota: number, used = 0): Counter => ({ quota, used });
const period = (grantId: string, total: Counter, shares: Record<string, Counter> = {}): PeriodRoom => ({
  grantId,
  n: 0,
  total,
  byUnit: new Map(Object.entries(shares).map(([name, c]) => [unit(name), c])),
});
const LEFT = [unit('root'), unit('left')];
const RIGHT = [unit('root'), unit('right')];

describe('a unit of a licence', () => {
  it('is consumed at every counter of the path', () => {
    const p = period('g', counter(10), { root: counter(8), left: counter(3), right: counter(3) });
    expect(takeUnit([p], LEFT)).toBe(p);
    expect([p.total.used, ...[...p.byUnit.values()].map((c) => c.used)]).toEqual([1, 1, 1, 0]);
  });

  it('comes from the next period where the first has no room on this path', () => {
    const [full, open] = [period('a', counter(10), { left: counter(1, 1) }), period('b', counter(1))];
    expect(takeUnit([full, open], LEFT)).toBe(open);
    expect(takeUnit([full, open], RIGHT)).toBe(full);
    expect(takeUnit([full, open], LEFT)).toBeUndefined();
  });

  it('is shared with the parent where a unit has no share of its own', () => {
    const p = period('g', counter(10), { root: counter(2), left: counter(1) });
    expect([roomOf([p], LEFT), roomOf([p], RIGHT)]).toEqual([1, 2]);
  });

  it('never exceeds a counter, and is refused only where some counter of each period is full', () => {
    const shares = fc.dictionary(fc.constantFrom('root', 'left', 'right'), fc.nat(6));
    const periods = fc.array(fc.record({ quota: fc.nat(8), shares }), { maxLength: 3 });
    fc.assert(
      fc.property(periods, fc.array(fc.boolean(), { maxLength: 30 }), (specs, calls) => {
        const all = specs.map(({ quota, shares: s }, i) =>
          period(`${i}`, counter(quota), Object.fromEntries(Object.entries(s).map(([k, q]) => [k, counter(q)]))),
        );
        for (const left of calls) {
          const path = left ? LEFT : RIGHT;
          const before = roomOf(all, path);
          const taken = takeUnit(all, path);
          expect(taken !== undefined).toBe(before > 0);
          if (taken !== undefined) expect(roomOf(all, path)).toBe(before - 1);
        }
        for (const p of all)
          for (const c of [p.total, ...p.byUnit.values()]) expect(c.used).toBeLessThanOrEqual(c.quota);
      }),
    );
  });
});
