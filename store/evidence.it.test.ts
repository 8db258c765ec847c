import { describe, expect, it } from '@jest/globals';
import type { ProofId, TenantId } from '../domain/ids.ts';
import { LIFE_ORIGIN } from '../test/support/batch-life.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { armBatch } from './batches.ts';
import { queueForLicence } from './certificates.ts';
import { inTransaction } from './pool.ts';
import { wakeDue } from './wake-batches.ts';

const world = useBatches();

describe('advanceEvidence', () => {
  it('moves what a timestamp covers and wakes each batch once', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 2_300);
    await world.seal(batch);
    await world.cover('timestamped_size', await world.life.integrate());
    await world.life.advance();
    await world.life.advance();
    expect(await world.states()).toEqual({ TIMESTAMPED: 2_300 });
    expect(await world.wakes()).toEqual([`batch:${batch}`]);
    for (const proof of [proofIds[0], proofIds[2_100]])
      expect(await world.timelineOf(a, proof as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED']);
  });

  it('applies an anchor only after the timestamp, however they arrive', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 2, { anchorPolicy: 'REQUIRED' });
    await world.seal(batch);
    const size = await world.life.integrate();
    await world.cover('anchored_size', size);
    await world.life.advance();
    expect(await world.states()).toEqual({ SEALED: 2 });
    await world.cover('timestamped_size', size);
    await world.life.advance();
    expect(await world.states()).toEqual({ ANCHORED: 2 });
    expect(await world.wakes()).toEqual([`batch:${batch}`]);
    expect(await world.timelineOf(a, proofIds[0] as ProofId)).toEqual([
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'ANCHORED',
    ]);
  });

  it('wakes a batch exactly once when timestamp, anchor and the batch itself look at the same moment', async () => {
    const a = await seedTenant(world.owner);
    for (let round = 0; round < 5; round++) {
      const { batch } = await world.formed(a, 3, { anchorPolicy: 'REQUIRED' });
      await world.seal(batch);
      const size = await world.life.integrate();
      await world.owner.query('DELETE FROM outbox');
      const [, , , arm] = await Promise.all([
        world.cover('timestamped_size', size).then(world.life.advance),
        world.cover('anchored_size', size).then(world.life.advance),
        world.life.advance(),
        inTransaction(world.db, (tx) => armBatch(tx, batch, LIFE_ORIGIN, world.now())),
      ]);
      await world.life.advance();
      const woken = (await world.wakes()).length;
      expect(woken + (arm.complete ? 1 : 0)).toBeGreaterThanOrEqual(1);
      expect(woken).toBeLessThanOrEqual(1);
    }
  });

  it('notes an anchor that comes after the end without changing the state', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 2);
    await world.seal(batch);
    const size = await world.life.integrate();
    await world.cover('timestamped_size', size);
    await world.life.advance();
    await world.owner.query("UPDATE proofs SET state = 'CERTIFIED_NO_ANCHOR'");
    await world.cover('anchored_size', size);
    await world.life.advance();
    expect(await world.states()).toEqual({ CERTIFIED_NO_ANCHOR: 2 });
    expect(await world.timelineOf(a, proofIds[0] as ProofId)).toEqual([
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'ANCHORED',
    ]);
    expect((await world.owner.query("SELECT FROM events WHERE type = 'proof.anchored'")).rowCount).toBe(1);
  });

  it('passes over a proof that was cancelled after its seal', async () => {
    const a = await seedTenant(world.owner);
    const { batch, proofIds } = await world.formed(a, 3);
    await world.seal(batch);
    await world.owner.query("UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [proofIds[1]]);
    await world.cover('timestamped_size', await world.life.integrate());
    await world.life.advance();
    expect(await world.states()).toEqual({ TIMESTAMPED: 2, CANCELLED: 1 });
    expect(await world.timelineOf(a, proofIds[1] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
    expect(await world.timelineOf(a, proofIds[2] as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED']);
  });

  it('wakes a PREFERRED batch at its deadline, and lets it certify without the anchor', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 2, {
      anchorPolicy: 'PREFERRED',
      anchorDeadline: '2026-01-31T09:30:00.000000Z',
    });
    await world.seal(batch);
    await world.cover('timestamped_size', await world.life.integrate());
    await world.life.advance();
    expect(await wakeDue(world.db, { origin: LIFE_ORIGIN, now: '2026-01-31T09:29:59.000000Z' })).toMatchObject({
      woken: 0,
    });
    expect(await queueForLicence(world.db, batch, '2026-01-31T09:29:59.000000Z')).toEqual([]);
    expect(await wakeDue(world.db, { origin: LIFE_ORIGIN, now: '2026-01-31T09:30:00.000000Z' })).toMatchObject({
      woken: 1,
    });
    expect(await wakeDue(world.db, { origin: LIFE_ORIGIN, now: '2026-01-31T09:30:01.000000Z' })).toMatchObject({
      woken: 0,
    });
    expect(await queueForLicence(world.db, batch, '2026-01-31T09:30:00.000000Z')).toEqual([
      a.tenantId satisfies TenantId,
    ]);
  });
});
