import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { BatchId } from '../domain/ids.ts';
import type { Lane } from '../domain/lane.ts';
import { LIFE_ORIGIN } from '../test/support/batch-life.ts';
import { useBatches } from '../test/support/batches.ts';
import { readAnchorFigures } from './anchor-costs.ts';
import { armBatch } from './batches.ts';
import { inTransaction } from './pool.ts';
import { countToWake, markLooked, oweWakes, WOKEN, wakeDue } from './wake-batches.ts';

const world = useBatches();
const NOW = '2026-01-31T12:00:00.000000Z';
const SOON = '2026-01-31T11:59:50.000000Z';
const LONG_AGO = '2026-01-31T11:00:00.000000Z';

beforeEach(async () => {
  await world.owner.query(
    'UPDATE log_progress SET timestamped_size = 1000, timestamp_cursor = 1000, anchored_size = 500, anchor_cursor = 500',
  );
});

/** Batches that wait for evidence up to a leaf, sealed one microsecond after the other; their ids in that order. */
async function sealed(
  count: number,
  { lane = 'prompt', policy = 'NONE', sealedAt = SOON, leaf = 10, deadline = null as string | null } = {} as {
    lane?: Lane;
    policy?: 'NONE' | 'REQUIRED' | 'PREFERRED';
    sealedAt?: string;
    leaf?: number;
    deadline?: string | null;
  },
): Promise<readonly BatchId[]> {
  const ids = Array.from({ length: count }, () => randomUUID() as string as BatchId);
  await world.owner.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, lane, formed_at, sealed_at, max_leaf_index, anchor_deadline)
     SELECT id, $2, 'express', 1, 'SEALED', $3, $4, $4::timestamptz + n * interval '1 us', $5, $6 FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
    [ids, policy, lane, sealedAt, leaf, deadline],
  );
  return ids;
}

/** How many are woken, and how many wait for it afterwards. */
async function wake(now = NOW) {
  const { woken } = await wakeDue(world.db, { origin: LIFE_ORIGIN, now });
  return { woken, toWake: await countToWake(world.db, { origin: LIFE_ORIGIN, now }) };
}
const arm = (batch: BatchId) => inTransaction(world.db, (tx) => armBatch(tx, batch, LIFE_ORIGIN, NOW));
const wakesOf = (ids: readonly BatchId[]) => ids.map((id) => `batch:${id}`);

/** What is owed to Temporal since the last look, in no order. */
async function owed(): Promise<string[]> {
  const wakes = await world.wakes();
  await world.owner.query('DELETE FROM outbox');
  return wakes.sort();
}

describe('complete batches', () => {
  it('are woken in portions, those sealed first, as those before have looked', async () => {
    const ids = await sealed(2 * WOKEN + 3);
    expect(await wake()).toEqual({ woken: WOKEN, toWake: WOKEN + 3 });
    expect(await owed()).toEqual(wakesOf(ids.slice(0, WOKEN)).sort());
    expect(await wake()).toEqual({ woken: 0, toWake: WOKEN + 3 });
    for (const id of ids.slice(0, 2)) await arm(id);
    expect(await wake()).toEqual({ woken: 2, toWake: WOKEN + 1 });
    expect(await owed()).toEqual(wakesOf(ids.slice(WOKEN, WOKEN + 2)).sort());
    for (const id of ids.slice(2, WOKEN + 2)) await arm(id);
    expect(await wake()).toEqual({ woken: WOKEN, toWake: 1 });
  });

  it('are woken at once, however many wait in other lanes or waited long for their evidence', async () => {
    await sealed(WOKEN + 1, { policy: 'REQUIRED', sealedAt: LONG_AGO });
    await sealed(WOKEN + 1, { lane: 'crowd' });
    expect(await wake()).toEqual({ woken: 2 * WOKEN, toWake: 2 });
    await owed();
    const [young] = (await sealed(1)) as [BatchId];
    expect(await wake()).toEqual({ woken: 1, toWake: 2 });
    expect(await owed()).toEqual(wakesOf([young]));
  });

  it('have their turn when one before them could not look, or has not for as long as an attempt may take', async () => {
    const ids = await sealed(WOKEN + 2, { sealedAt: LONG_AGO });
    await wake();
    await markLooked(world.db, ids[3] as BatchId);
    expect(await wake()).toEqual({ woken: 1, toWake: 1 });
    expect(await wake('2026-01-31T12:09:59.000000Z')).toEqual({ woken: 0, toWake: 1 });
    expect(await wake('2026-01-31T12:10:01.000000Z')).toEqual({ woken: 1, toWake: 0 });
  });

  it('do not count as waiting for an anchor while they wait for their wake', async () => {
    const waitsSince = async () => (await readAnchorFigures(world.db, LIFE_ORIGIN, NOW)).waitsSince;
    await sealed(1, { policy: 'REQUIRED', leaf: 499, sealedAt: LONG_AGO });
    expect(await waitsSince()).toBeNull();
    await sealed(1, { policy: 'REQUIRED', leaf: 500 });
    expect(await waitsSince()).toBe('2026-01-31T11:59:50.000001Z');
  });

  it('are those alone whose evidence is there: the timestamp, and the anchor or the end of its wait', async () => {
    const anchored = await sealed(1, { policy: 'REQUIRED', leaf: 499 });
    await sealed(1, { policy: 'REQUIRED', leaf: 500 });
    await sealed(1, { policy: 'PREFERRED', leaf: 500, deadline: '2026-01-31T12:00:01.000000Z' });
    const givenUp = await sealed(1, { policy: 'PREFERRED', leaf: 999, deadline: NOW });
    await sealed(1, { leaf: 1000 });
    expect(await wake()).toEqual({ woken: 2, toWake: 0 });
    expect(await owed()).toEqual(wakesOf([...anchored, ...givenUp]).sort());
  });
});

describe('batches whose members got the licence that they waited for', () => {
  const owe = (ids: readonly BatchId[]) => inTransaction(world.db, (tx) => oweWakes(tx, ids, 'licencesGranted', NOW));
  const left = async () => (await world.owner.query('SELECT FROM batch_wakes')).rowCount;

  it('are told in portions as well, each under its generation, beside the young and those of other lanes', async () => {
    const parked = await sealed(WOKEN + 3, { sealedAt: LONG_AGO });
    await world.owner.query('UPDATE batches SET evidence_complete_at = $1, generation = 2', [LONG_AGO]);
    await owe(parked);
    expect(await wake()).toEqual({ woken: WOKEN, toWake: 3 });
    expect(await owed()).toEqual(
      parked
        .slice(0, WOKEN)
        .map((id) => `batch:${id}:2`)
        .sort(),
    );
    const [young] = (await sealed(1)) as [BatchId];
    const [large] = (await sealed(1, { lane: 'large', sealedAt: LONG_AGO })) as [BatchId];
    await owe([large]);
    expect(await wake()).toEqual({ woken: 2, toWake: 3 });
    expect(await owed()).toEqual(wakesOf([young, large]).sort());
    for (const id of parked.slice(0, 3)) await arm(id);
    expect(await wake()).toEqual({ woken: 3, toWake: 0 });
    expect(await left()).toBe(0);
  });

  it('are told once, however many drains owe it; those that closed meanwhile not at all', async () => {
    const [parked, closed] = (await sealed(2, { sealedAt: LONG_AGO })) as [BatchId, BatchId];
    await world.owner.query('UPDATE batches SET evidence_complete_at = $1', [LONG_AGO]);
    await owe([parked, closed]);
    await owe([parked]);
    await world.owner.query("UPDATE batches SET state = 'CLOSED' WHERE id = $1", [closed]);
    expect(await wake()).toEqual({ woken: 1, toWake: 0 });
    expect(await owed()).toEqual(wakesOf([parked]));
    expect(await left()).toBe(0);
  });

  it('are told again of what a drain brings while they look', async () => {
    const [parked] = (await sealed(1, { sealedAt: LONG_AGO })) as [BatchId];
    await owe([parked]);
    await wake();
    await owe([parked]);
    expect(await wake()).toEqual({ woken: 1, toWake: 0 });
    expect(await owed()).toEqual([...wakesOf([parked]), ...wakesOf([parked])]);
  });
});
