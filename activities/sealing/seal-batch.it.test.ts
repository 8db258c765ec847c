import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { formBatch } from '../../store/form-batch.ts';
import { ensureLog } from '../../store/log.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { acceptProofs } from '../../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../../test/support/seed.ts';
import { useSigner } from '../../test/support/signing.ts';
import { createSealing } from './seal-batch.ts';

const clock = systemClock();
const signing = useSigner();
const FAR = '2099-01-01T00:00:00Z';

let test: TestDatabase;
let db: Db;
let owner: Db;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  [db, owner] = [test.pool('proofline_worker'), test.pool('proofline_owner')];
  await inTransaction(db, (tx) => ensureLog(tx, 'o', clock.nowMicros()));
});
afterAll(async () => {
  await test.drop();
});
beforeEach(async () => {
  await owner.query(
    'TRUNCATE tenants, batches, submissions, submission_queue, proofs, seals, leaf_queue, timeline, outbox CASCADE',
  );
  tenant = await seedTenant(owner);
});

/** Forms a batch of what waits, open to joiners for as long as nobody shuts it. */
async function formOpen(): Promise<string> {
  const formed = await formBatch(db, {
    newId: randomUUID,
    now: clock.nowMicros(),
    maxUnsealed: 8,
    joinableUntil: { prompt: FAR, crowd: FAR },
  });
  expect(['prompt', 'crowd']).toContain(formed);
  return (await owner.query('SELECT id FROM batches ORDER BY formed_at DESC LIMIT 1')).rows[0].id;
}

const sealing = (stopping: AbortSignal) =>
  createSealing({ db, signer: signing.signer, clock, origin: 'o', randomBytes, heartbeat: () => undefined, stopping });

async function sealedCount(): Promise<number> {
  return (await owner.query("SELECT count(*)::int AS n FROM proofs WHERE state = 'SEALED'")).rows[0].n;
}

async function untilSealed(count: number): Promise<void> {
  for (const deadline = Date.now() + 20_000; (await sealedCount()) < count; )
    if (Date.now() > deadline) throw new Error(`${await sealedCount()} sealed, not ${count}`);
}

/** One seal and one leaf for each, none of them unsigned; the batch says how many. */
async function checkSealed(batchId: string, count: number): Promise<void> {
  const { rows } = await owner.query(
    `SELECT b.state, b.proof_count AS members, b.leaves_pending AS pending, b.joinable_until AS until,
       (SELECT count(*)::int FROM seals s WHERE s.batch_id = b.id AND s.signature IS NOT NULL) AS seals,
       (SELECT count(DISTINCT proof_id)::int FROM leaf_queue) AS leaves
     FROM batches b WHERE b.id = $1`,
    [batchId],
  );
  expect(rows).toEqual([{ state: 'SEALED', members: count, pending: count, until: null, seals: count, leaves: count }]);
}

describe('sealing a batch that others may join', () => {
  it('seals who joins while it is open, and ends with all of them when the process stops', async () => {
    await acceptProofs(test, tenant, 2);
    const batchId = await formOpen();
    const stopping = new AbortController();
    const done = sealing(stopping.signal).sealBatch({ batchId });
    await untilSealed(2);
    await acceptProofs(test, tenant, 3);
    await untilSealed(5);
    await acceptProofs(test, tenant, 1);
    await untilSealed(6);
    stopping.abort();
    expect(await done).toMatchObject({ proofCount: 6, sealed: 6, failed: 0, complete: false });
    await checkSealed(batchId, 6);
  });

  it('ends once it is full, without waiting for its time', async () => {
    await acceptProofs(test, tenant, 1_000);
    const batchId = await formOpen();
    const done = sealing(new AbortController().signal).sealBatch({ batchId });
    await acceptProofs(test, tenant, 1_000);
    expect(await done).toMatchObject({ proofCount: 2_000, sealed: 2_000 });
    await checkSealed(batchId, 2_000);
  });

  it('leaves nobody unsealed when two attempts run beside each other and one of them ends', async () => {
    await acceptProofs(test, tenant, 1);
    const batchId = await formOpen();
    const stopping = new AbortController();
    const twins = [sealing(stopping.signal), sealing(new AbortController().signal)];
    const done = twins.map((twin) => twin.sealBatch({ batchId }));
    for (let i = 0; i < 8; i++) {
      await acceptProofs(test, tenant, 5);
      if (i === 4) stopping.abort();
    }
    await Promise.all(done);
    const { rows } = await owner.query('SELECT proof_count AS n FROM batches');
    await checkSealed(batchId, rows[0].n);
    // Whoever came too late for it waits for the next.
    const { rows: left } = await owner.query('SELECT coalesce(sum(proof_count), 0)::int AS n FROM submission_queue');
    expect(rows[0].n + left[0].n).toBe(41);
  });

  it('goes on after the signer was away for a moment', async () => {
    await acceptProofs(test, tenant, 1);
    const batchId = await formOpen();
    const stopping = new AbortController();
    const attempt = sealing(stopping.signal).sealBatch({ batchId });
    await untilSealed(1);
    signing.server.setFaults([{ at: 'sign', kid: 'seal', effect: 'unavailable' }]);
    await acceptProofs(test, tenant, 4);
    // The attempt fails as Temporal would see it; the next finds the joiner frozen and seals it.
    await expect(attempt).rejects.toMatchObject({ code: 'SIGNER_UNAVAILABLE' });
    signing.server.setFaults([]);
    const next = sealing(stopping.signal).sealBatch({ batchId });
    await untilSealed(5);
    stopping.abort();
    expect(await next).toMatchObject({ proofCount: 5 });
    await checkSealed(batchId, 5);
  });
});

describe('sealing a batch again', () => {
  const seal = (batchId: string) => sealing(new AbortController().signal).sealBatch({ batchId });
  const form = async (): Promise<string> => {
    await acceptProofs(test, tenant, 2, { anchorPolicy: 'PREFERRED', anchorDeadline: '2026-01-31T08:30:00.000000Z' });
    expect(await formBatch(db, { newId: randomUUID, now: clock.nowMicros(), maxUnsealed: 8 })).toBe('prompt');
    return (await owner.query('SELECT id FROM batches ORDER BY formed_at DESC LIMIT 1')).rows[0].id;
  };

  it('has it looked at without a wake: its drafts wait for a signature, and for no deadline any more', async () => {
    const batchId = await form();
    expect(await seal(batchId)).toMatchObject({ sealed: 2, complete: false });
    await owner.query("UPDATE proofs SET state = 'TIMESTAMPED'");
    await owner.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, drafted_at)
       SELECT id, tenant_id, $1, 'PL-' || id, 'CERTIFIED_NO_ANCHOR', 0, 1, now() FROM proofs`,
      [batchId],
    );
    expect(await seal(batchId)).toMatchObject({ sealed: 0, complete: true });
  });

  it('has it looked at by the run that follows one that was gone before it had sealed', async () => {
    const batchId = await form();
    await owner.query('UPDATE batches SET generation = 2 WHERE id = $1', [batchId]);
    expect(await seal(batchId)).toMatchObject({ sealed: 2, complete: true });
  });
});

describe('places before the seal', () => {
  const form = () => formBatch(db, { newId: randomUUID, now: clock.nowMicros(), maxUnsealed: 8 });
  const seal = (batchId: string) => sealing(new AbortController().signal).sealBatch({ batchId });
  /** Eight batches of one proof each, oldest first. */
  async function formEight(): Promise<readonly string[]> {
    for (let i = 0; i < 8; i++) {
      await acceptProofs(test, tenant, 1);
      expect(await form()).toBe('prompt');
    }
    return (await owner.query('SELECT id FROM batches ORDER BY formed_at')).rows.map(({ id }) => id);
  }

  it('are all held while the signer is away: others wait in the queue, and go on as it seals', async () => {
    const batches = await formEight();
    signing.server.setFaults([{ at: 'sign', kid: 'seal', effect: 'unavailable' }]);
    for (const attempt of await Promise.allSettled(batches.map(seal)))
      expect(attempt).toMatchObject({ status: 'rejected', reason: { code: 'SIGNER_UNAVAILABLE' } });
    await acceptProofs(test, await seedTenant(owner), 1);
    // The cause is the signer, which would hold a ninth as well: one reason, seen at eight batches.
    expect(await form()).toBe('full');
    signing.server.setFaults([]);
    await seal(batches[0] as string);
    expect(await form()).toBe('prompt');
    expect(await sealedCount()).toBe(1);
  });

  it('come free when the signer refuses what a batch asks of its key: those proofs fail, others go on', async () => {
    const batches = await formEight();
    signing.server.setFaults([{ at: 'sign', kid: 'seal', effect: 'refused' }]);
    for (const batch of batches) expect(await seal(batch)).toMatchObject({ sealed: 0, failed: 1 });
    signing.server.setFaults([]);
    await acceptProofs(test, await seedTenant(owner), 1);
    expect(await form()).toBe('prompt');
    const { rows } = await owner.query('SELECT state, count(*)::int AS n FROM proofs GROUP BY state ORDER BY state');
    expect(rows).toEqual([
      { state: 'RECEIVED', n: 1 },
      { state: 'FAILED', n: 8 },
    ]);
  });
});
