import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { closeAnchorWindow } from './anchor-windows.ts';
import { type Db, inTransaction } from './pool.ts';

const ORIGIN = 'log.example/test';
const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
/** Seconds after the beginning of the test. */
const at = (seconds: number): string =>
  new Date(Date.UTC(2026, 0, 31, 8) + seconds * 1000).toISOString().replace('Z', '000Z');

let test: TestDatabase;
let db: Db;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
});
afterAll(() => test.drop());
beforeEach(async () => {
  await test
    .pool('proofline_owner')
    .query('TRUNCATE batches, submissions, timestamps, anchors, anchor_attempts, outbox CASCADE');
  await db.query('UPDATE anchor_windows SET needed_index = NULL, closed_at = NULL');
});

interface Waiting {
  readonly last: bigint;
  readonly policy?: string;
  readonly window?: string;
  readonly state?: string;
  readonly pending?: number;
}

async function addBatch(
  n: number,
  { last, policy = 'PREFERRED', window = 'express', state = 'SEALED', pending = 0 }: Waiting,
): Promise<void> {
  await db.query(
    'INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at, state, leaves_pending, max_leaf_index) VALUES ($1, $2, $3, 1, $4, $5, $6, $7)',
    [uuid(n), policy, window, at(0), state, pending, last.toString()],
  );
  if (policy !== 'NONE')
    await db.query('UPDATE anchor_windows SET needed_index = greatest(needed_index, $2) WHERE "window" = $1', [
      window,
      last.toString(),
    ]);
}

async function addTimestamp(size: bigint): Promise<void> {
  await db.query(
    "INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at) VALUES ($1, $2, 't', '', $3, $4, $5, '1.2', false, $4)",
    [ORIGIN, size.toString(), Buffer.alloc(32), at(0), size.toString()],
  );
}

const setState = (size: bigint, state: string) =>
  db.query('UPDATE anchors SET state = $2 WHERE size = $1', [size.toString(), state]);
const close = (seconds: number, maxOpen = 4) =>
  inTransaction(db, (tx) => closeAnchorWindow(tx, { origin: ORIGIN, now: at(seconds), maxOpen }));

describe('an anchor window', () => {
  it('is closed for the newest timestamped checkpoint, with the start of its workflow in the same transaction', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(3n);
    await addTimestamp(8n);
    expect(await close(0)).toEqual({ window: 'express', size: 8n });
    expect((await db.query('SELECT size, "window", state, created_at FROM anchors')).rows).toEqual([
      { size: 8n, window: 'express', state: 'PENDING', created_at: at(0) },
    ]);
    expect((await db.query('SELECT kind, workflow_id, name, payload FROM outbox')).rows).toEqual([
      {
        kind: 'start',
        workflow_id: `anchor:${ORIGIN}:8`,
        name: 'anchorCheckpoint',
        payload: { origin: ORIGIN, size: '8' },
      },
    ]);
  });

  it('is closed once by many integrators at a time', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(8n);
    const closed = await Promise.all(Array.from({ length: 6 }, () => close(0)));
    expect(closed.filter((window) => window !== undefined)).toHaveLength(1);
    expect((await db.query('SELECT count(*)::int AS n FROM outbox')).rows).toEqual([{ n: 1 }]);
  });

  it('causes one anchor per its length, whatever waits', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(5n);
    expect(await close(0)).toMatchObject({ size: 5n });
    await addBatch(2, { last: 9n });
    await addTimestamp(10n);
    expect(await close(4.999)).toBeUndefined();
    expect(await close(5)).toMatchObject({ size: 10n });
  });

  it('sends nothing that no waiting batch needs', async () => {
    await addTimestamp(50n);
    expect(await close(0)).toBeUndefined();
    await addBatch(1, { last: 10n, policy: 'NONE' });
    expect(await close(0)).toBeUndefined();
    await addBatch(2, { last: 50n });
    expect(await close(0)).toBeUndefined();
    await addBatch(3, { last: 20n, pending: 1 });
    expect(await close(0)).toBeUndefined();
    await addBatch(4, { last: 20n, state: 'CLOSED' });
    expect(await close(0)).toBeUndefined();
    await addBatch(5, { last: 20n });
    expect(await close(0)).toMatchObject({ size: 50n });
    expect(await close(60)).toBeUndefined();
  });

  it('of a longer length profits from the anchor of a shorter one', async () => {
    await addBatch(1, { last: 4n, window: 'economy' });
    await addBatch(2, { last: 6n, window: 'express' });
    await addTimestamp(8n);
    expect(await close(0)).toEqual({ window: 'express', size: 8n });
    await addTimestamp(9n);
    expect(await close(3600)).toBeUndefined();
    await addBatch(3, { last: 8n, window: 'economy' });
    expect(await close(3600)).toEqual({ window: 'economy', size: 9n });
    await addBatch(4, { last: 10n, window: 'economy' });
    await addTimestamp(11n);
    expect(await close(7199)).toBeUndefined();
    expect(await close(7200)).toEqual({ window: 'economy', size: 11n });
  });

  it('waits while as many anchors are open as may be, and then covers all at once', async () => {
    for (let i = 0; i < 3; i++) {
      await addBatch(i, { last: BigInt(10 * i + 5) });
      await addTimestamp(BigInt(10 * i + 9));
      expect((await close(10 * i, 2)) === undefined).toBe(i === 2);
    }
    await setState(9n, 'VERIFIED');
    expect(await close(100, 2)).toMatchObject({ size: 29n });
  });

  it('is not closed while an anchor is suspect', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(5n);
    await close(0);
    await setState(5n, 'SUSPECT');
    await addBatch(2, { last: 6n });
    await addTimestamp(8n);
    expect(await close(10)).toBeUndefined();
    await setState(5n, 'VERIFIED');
    expect(await close(10)).toMatchObject({ size: 8n });
  });

  it('covers again, with a newer checkpoint, what an anchor that failed for good did not', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(5n);
    await close(0);
    await setState(5n, 'FAILED');
    await addTimestamp(6n);
    expect(await close(10)).toMatchObject({ size: 6n });
  });

  it('anchors a checkpoint again whose anchor an operator gave up', async () => {
    await addBatch(1, { last: 4n });
    await addTimestamp(8n);
    await close(0);
    await setState(8n, 'SUSPECT');
    expect(await close(100)).toBeUndefined();
    await setState(8n, 'FAILED');
    expect(await close(200)).toEqual({ window: 'express', size: 8n });
    expect((await db.query('SELECT state, failure FROM anchors')).rows).toEqual([{ state: 'PENDING', failure: null }]);
    expect((await db.query('SELECT workflow_id FROM outbox')).rowCount).toBe(2);
  });

  it('is one anchor however many proofs, batches and tenants wait', async () => {
    for (let n = 1; n <= 50; n++) await addBatch(n, { last: BigInt(2_000 * n - 1) });
    await addTimestamp(100_000n);
    expect(await close(0)).toEqual({ window: 'express', size: 100_000n });
    for (let second = 1; second < 60; second++) expect(await close(second)).toBeUndefined();
    expect((await db.query('SELECT FROM anchors')).rowCount).toBe(1);
  });
});
