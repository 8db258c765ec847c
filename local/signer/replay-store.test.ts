import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../../domain/clock.ts';
import { openReplayStore, type ReplayStore } from './replay-store.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
let dir: string;
let nowMs: number;
let made: number;
let events: Readonly<Record<string, unknown>>[];
let open: ReplayStore[];
const clock: Clock = { nowMs: () => nowMs, nowMicros: () => new Date(nowMs).toISOString() };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-replay-'));
  nowMs = Date.UTC(2026, 10, 23);
  made = 0;
  events = [];
  open = [];
});
afterEach(async () => {
  for (const store of open) store.close();
  await rm(dir, { recursive: true, force: true });
});

async function start(maxBytes?: number): Promise<ReplayStore> {
  for (const store of open.splice(0)) store.close();
  const log = (event: Readonly<Record<string, unknown>>): void => void events.push(event);
  const store = await openReplayStore({ dir, clock, log, ...(maxBytes === undefined ? {} : { maxBytes }) });
  open.push(store);
  return store;
}
const make = async (): Promise<Buffer> => Buffer.from(`answer ${++made}`);
const ask = async (store: ReplayStore, key: string, purpose: 'seal' | 'pdf' = 'seal', request = 'r'): Promise<string> =>
  (await store.once(purpose, key, request, make)).toString();

describe('answers kept for repeats', () => {
  it('are given again byte for byte, to twins in flight and after a restart', async () => {
    const store = await start();
    expect(await Promise.all([ask(store, 'a'), ask(store, 'a')])).toEqual(['answer 1', 'answer 1']);
    expect(await ask(store, 'b')).toBe('answer 2');
    const again = await start();
    expect([await ask(again, 'a'), await ask(again, 'b'), made]).toEqual(['answer 1', 'answer 2', 2]);
  });

  it('refuse another request under their key, in flight, kept, and after a restart', async () => {
    const store = await start();
    const first = ask(store, 'a');
    const conflict = expect.objectContaining({ code: 'idempotency_conflict' });
    await expect(ask(store, 'a', 'seal', 'other')).rejects.toEqual(conflict);
    await first;
    await expect(ask(store, 'a', 'seal', 'other')).rejects.toEqual(conflict);
    await expect(ask(await start(), 'a', 'seal', 'other')).rejects.toEqual(conflict);
  });

  it('last an hour for seals and a week for PDFs', async () => {
    const store = await start();
    await ask(store, 'a');
    await ask(store, 'p', 'pdf');
    nowMs += HOUR_MS - 1;
    expect(await ask(store, 'a')).toBe('answer 1');
    nowMs += 1;
    expect(await ask(store, 'a')).toBe('answer 3');
    nowMs += 7 * DAY_MS - HOUR_MS - 1;
    expect(await ask(store, 'p', 'pdf')).toBe('answer 2');
    nowMs += 1;
    expect(await ask(store, 'p', 'pdf')).toBe('answer 4');
    expect(events).toEqual([]);
  });

  it('do not keep a failure', async () => {
    const store = await start();
    await expect(store.once('seal', 'a', 'r', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await ask(store, 'a')).toBe('answer 1');
  });

  it('take no more room than their bound, purpose by purpose, and say when one goes before its time', async () => {
    const bound = 500_000;
    const store = await start(bound);
    const large = async (n: number): Promise<Buffer> => Buffer.alloc(40_000, n);
    await ask(store, 'p', 'pdf');
    for (let n = 0; n < 200; n++) {
      await store.once('seal', `k${n}`, 'r', () => large(n));
      nowMs++;
    }
    expect(events[0]).toEqual(expect.objectContaining({ event: 'replay-cut-short', purpose: 'seal' }));
    const again = await start(bound);
    expect((await again.once('seal', 'k199', 'r', make)).equals(await large(199))).toBe(true);
    expect((await again.once('seal', 'k0', 'r', make)).toString()).toBe('answer 2');
    expect(await ask(again, 'p', 'pdf')).toBe('answer 1');
    again.close();
    open = [];
    expect((await stat(join(dir, 'hour.db'))).size).toBeLessThan(3 * bound);
  });

  it('are not given when they cannot be kept', async () => {
    const store = await start();
    await ask(store, 'a');
    const held = store.once('seal', 'b', 'r', async () => {
      const answer = await make();
      await rm(dir, { recursive: true });
      store.close();
      return answer;
    });
    await expect(held).rejects.toThrow();
    open = [];
  });
});
