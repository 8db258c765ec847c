import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { BatchId, ProofId } from '../domain/ids.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { inTransaction, type Tx } from './pool.ts';
import { failProofs, freezeStatements, readUnsealed, SEAL_CHUNK, storeSeals, thawUnsealed } from './seals.ts';

const world = useBatches();

describe('seals', () => {
  it('freezes every member once, in the order of the submission, and queues one leaf each', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 2_500);
    await world.seal(batch);
    const { rows } = await world.owner.query('SELECT proof_id FROM seals WHERE batch_id = $1 ORDER BY ordinal', [
      batch,
    ]);
    expect(rows.map((row) => row.proof_id)).toEqual(proofIds);
    expect(
      (await world.owner.query('SELECT proof_id FROM leaf_queue ORDER BY id')).rows.map((row) => row.proof_id),
    ).toEqual(proofIds);
    expect(await world.states()).toEqual({ SEALED: 2_500 });
    expect(await world.timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
    expect(await world.timelineOf(a, proofIds.at(-1) as ProofId)).toEqual(['RECEIVED', 'SEALED']);
  });

  it('keeps the first seal when two attempts store theirs', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 5);
    await world.life.freeze(batch);
    const chunk = await readUnsealed(world.db, batch, 10);
    const attempt = (fill: number) =>
      storeSeals(world.db, {
        batch,
        seals: chunk.map((u) => ({ ...u, signature: Buffer.alloc(64, fill) })),
        now: world.now(),
      });
    const stored = await Promise.all([attempt(1), attempt(2)]);
    expect(stored.sort()).toEqual([0, 5]);
    expect((await world.owner.query('SELECT DISTINCT signature FROM seals')).rowCount).toBe(1);
    expect((await world.owner.query('SELECT FROM leaf_queue')).rowCount).toBe(5);
    expect((await world.owner.query('SELECT leaves_pending FROM batches')).rows[0].leaves_pending).toBe(5);
  });

  it('freezes thawed statements again under the next version and leaves sealed ones alone', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 3);
    await world.life.freeze(batch);
    const [first] = await readUnsealed(world.db, batch, 1);
    if (first === undefined) throw new Error('nothing frozen');
    await storeSeals(world.db, { batch, seals: [{ ...first, signature: randomBytes(64) }], now: world.now() });
    expect(await thawUnsealed(world.db, batch)).toBe(2);
    await inTransaction(world.db, (tx) => freezeStatements(tx, { batch, kid: 'seal', version: 2, randomBytes }));
    const { rows } = await world.owner.query('SELECT version FROM seals ORDER BY version');
    expect(rows.map((row) => row.version)).toEqual([1, 2, 2]);
  });

  it('fails one proof for good while the others go on', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 3);
    await world.life.freeze(batch);
    const failure = { proofId: proofIds[1] as ProofId, code: 'SIGNER_REFUSED' as const, detail: 'not this one' };
    expect(await failProofs(world.db, { batch, failures: [failure], stage: 'SEALED', now: world.now() })).toBe(1);
    expect(await readUnsealed(world.db, batch, 10)).toHaveLength(2);
    await world.seal(batch);
    expect(await world.states()).toEqual({ SEALED: 2, FAILED: 1 });
    expect(await world.timelineOf(a, proofIds[1] as ProofId)).toEqual(['RECEIVED', 'FAILED']);
    expect(await world.timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
  });

  it('freezes submissions and retried proofs in one order, chunk after chunk', async () => {
    const a = await seedTenant(world.owner);
    const [early, late] = ['2026-01-31T08:00:00.000001Z', '2026-01-31T08:00:00.000002Z'];
    for (const count of [1, 200, 150]) await acceptProofs(world.test, a, count, { receivedAt: late });
    for (const count of [1, 120]) await acceptProofs(world.test, a, count, { receivedAt: early });
    const batch = await world.life.formed();
    const retried = [];
    for (const receivedAt of [late, early])
      retried.push((await acceptProofs(world.test, a, 130, { receivedAt })).submissionId);
    await world.owner.query('UPDATE proofs SET batch_id = $1 WHERE submission_id = ANY ($2::uuid[])', [batch, retried]);
    await world.life.freeze(batch);
    const { rows } = await world.owner.query(
      `SELECT row_number() OVER (ORDER BY p.received_at, p.submission_id, p.ordinal)::int - 1 AS place, s.ordinal
       FROM proofs p JOIN seals s ON s.proof_id = p.id AND s.batch_id = $1`,
      [batch],
    );
    expect(rows).toHaveLength(732);
    expect(rows.filter((row) => row.place !== row.ordinal)).toEqual([]);
  });

  describe('freezing a chunk reads a chunk, however many members the batch has:', () => {
    const freeze = (tx: Tx, batch: BatchId, after?: Parameters<typeof freezeStatements>[1]['after']) =>
      freezeStatements(tx, { batch, kid: 'seal', version: 1, randomBytes, after });
    /** What the session has read that it has not told anybody yet. */
    async function rowsRead(tx: Tx): Promise<{ readonly proofs: number; readonly submissions: number }> {
      const { rows } = await tx.query(
        `SELECT sum(n) FILTER (WHERE relname = 'proofs')::int AS proofs, sum(n) FILTER (WHERE relname = 'submissions')::int AS submissions
         FROM (SELECT relname, seq_tup_read + idx_tup_fetch AS n FROM pg_stat_xact_user_tables) t`,
      );
      return rows[0];
    }
    /** Rows read while the second chunk is frozen. */
    async function readBySecond(batch: BatchId): Promise<{ readonly proofs: number; readonly submissions: number }> {
      const { after } = await inTransaction(world.db, (tx) => freeze(tx, batch));
      return inTransaction(world.db, async (tx) => {
        const before = await rowsRead(tx);
        expect((await freeze(tx, batch, after)).frozen).toHaveLength(SEAL_CHUNK);
        const since = await rowsRead(tx);
        return { proofs: since.proofs - before.proofs, submissions: since.submissions - before.submissions };
      });
    }

    it('one submission of thousands', async () => {
      const { batch } = await world.formed(await seedTenant(world.owner), 2_500);
      const { proofs, submissions } = await readBySecond(batch);
      expect(proofs).toBe(SEAL_CHUNK);
      expect(submissions).toBe(1);
    });

    it('a thousand of one proof each', async () => {
      const a = await seedTenant(world.owner);
      await Promise.all(Array.from({ length: 1_000 }, () => acceptProofs(world.test, a, 1)));
      const { proofs, submissions } = await readBySecond(await world.life.formed());
      // Those at the edges of the chunk are looked at too.
      expect(proofs).toBeLessThanOrEqual(SEAL_CHUNK + 2);
      expect(submissions).toBeLessThanOrEqual(SEAL_CHUNK + 2);
    });
  });
});
