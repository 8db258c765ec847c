import { describe, expect, it } from '@jest/globals';
import type { BatchId } from '../domain/ids.ts';
import { LIFE_ORIGIN } from '../test/support/batch-life.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { armBatch } from './batches.ts';
import { inTransaction } from './pool.ts';
import { wakeStalled } from './stalled-batches.ts';

const BEFORE_ALL = '2026-01-31T08:59:00.000000Z';
const LATER = '2026-01-31T10:00:00.000000Z';
const MUCH_LATER = '2026-01-31T11:00:00.000000Z';

const world = useBatches();
const wake = (before: string, now: string) => wakeStalled(world.db, { before, now });
/** As a run does that follows another: asks whether the evidence is complete, and arms the batch if not. */
const arm = (batch: BatchId) => inTransaction(world.db, (tx) => armBatch(tx, batch, LIFE_ORIGIN, world.now()));

async function timestamp(batch: BatchId): Promise<void> {
  const { life } = world;
  await life.seal(batch);
  await life.integrate();
  await life.cover('timestamp');
  await life.advance();
}

describe('batches whose wake was lost', () => {
  it('are woken for a proof that was released long ago and that nobody queued, once a period', async () => {
    const { life, owner } = world;
    const tenant = await seedTenant(owner);
    await life.grant(tenant.tenantId, 10);
    const { batch, proofIds } = await world.formed(tenant, 1, { anchorPolicy: 'REQUIRED' });
    const { batch: other } = await world.formed(tenant, 1, { anchorPolicy: 'REQUIRED' });
    await timestamp(batch);
    await timestamp(other);
    expect(await life.command('certify-without-anchor', proofIds)).toMatchObject([{ state: 'APPLIED' }]);
    await owner.query('DELETE FROM outbox');
    expect(await arm(batch)).toEqual({ complete: false, deadline: null });
    expect(await wake(BEFORE_ALL, LATER)).toBe(0);
    expect(await wake(LATER, LATER)).toBe(1);
    expect(await wake(LATER, LATER)).toBe(0);
    expect(await wake(MUCH_LATER, MUCH_LATER)).toBe(1);
    expect(await world.wakes()).toEqual([`batch:${batch}`, `batch:${batch}`]);
    expect(await life.certify(batch)).toBe(true);
    expect(await wake('2026-02-01T00:00:00Z', MUCH_LATER)).toBe(0);
  });

  it('are woken for certificates that were drafted and never signed, though no deadline is left to wait for', async () => {
    const { life, owner } = world;
    const tenant = await seedTenant(owner);
    await life.grant(tenant.tenantId, 10);
    const anchorDeadline = '2026-01-31T08:30:00.000000Z';
    const { batch } = await world.formed(tenant, 2, { anchorPolicy: 'PREFERRED', anchorDeadline });
    await timestamp(batch);
    await life.draft(batch);
    await owner.query('DELETE FROM outbox');
    expect(await arm(batch)).toEqual({ complete: false, deadline: null });
    expect(await wake(BEFORE_ALL, LATER)).toBe(0);
    expect(await wake(LATER, LATER)).toBe(1);
    expect(await world.wakes()).toEqual([`batch:${batch}`]);
    expect(await life.certify(batch)).toBe(true);
  });
});
