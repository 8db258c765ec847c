import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { ProofId } from '../domain/ids.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { inTransaction } from './pool.ts';
import { failProofs, freezeStatements, readUnsealed, storeSeals, thawUnsealed } from './seals.ts';

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
});
