import { describe, expect, it } from '@jest/globals';
import { useLicenceDrain } from '../test/support/licence-drain.ts';
import { seedOrgUnit } from '../test/support/queued-proofs.ts';

const world = useLicenceDrain();
const { checkCounters, drafted, drain, grant, queue, states } = world;

const sorted = (ids: readonly string[]): string[] => [...ids].sort();

/** As a drain that found no room left them. */
async function tellToWait(ids: readonly string[]): Promise<void> {
  await world.owner.query("UPDATE proofs SET state = 'AWAITING_LICENSE' WHERE id = ANY ($1::uuid[])", [ids]);
  await world.owner.query('UPDATE licence_queue SET awaiting = true WHERE proof_id = ANY ($1::uuid[])', [ids]);
}

describe('draining licences', () => {
  it('takes out of the queue who has a draft already, and serves those behind', async () => {
    const { batchId, proofIds } = await queue(3);
    await grant(world.tenant, { quota: 9 });
    await world.owner.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, drafted_at)
       VALUES ($1, $2, $3, 'PL-1', 'CERTIFIED_NO_ANCHOR', 0, 1, now())`,
      [proofIds[0], world.tenant.tenantId, batchId],
    );
    expect(await drain(world.tenant, { batchIds: [batchId] })).toMatchObject({ drafted: 2, more: false });
    expect((await world.owner.query('SELECT FROM licence_queue')).rowCount).toBe(0);
    expect((await world.owner.query('SELECT FROM licence_consumptions')).rowCount).toBe(2);
  });

  it('tells whom a full unit keeps waiting, though others go on being served', async () => {
    const full = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    await grant(world.tenant, { quota: 9, allocations: [{ orgUnit: full, limit: 0 }] });
    const { proofIds } = await queue(1, { orgUnitId: full });
    await queue(4);
    const short = await drain(world.tenant, { limit: 2, transactions: 1 });
    expect(short).toMatchObject({ drafted: 2, waiting: 1, more: true });
    expect(await states(proofIds)).toEqual(['AWAITING_LICENSE']);
    expect(await drain()).toMatchObject({ drafted: 2, waiting: 0, more: false });
  });

  it('goes past proofs that are not ready within a short call', async () => {
    await grant(world.tenant, { quota: 9 });
    await queue(3, { anchorPolicy: 'REQUIRED' });
    await queue(3, { receivedAt: '2026-01-31T08:30:00.000000Z' });
    const short = await drain(world.tenant, { limit: 1, transactions: 1 });
    expect(short).toMatchObject({ drafted: 1, more: true });
    expect(short.unready).toHaveLength(3);
  });

  it('wakes no batch that is certifying still: it looks for its drafts before it rests', async () => {
    const mine = await queue(1);
    await queue(2);
    await grant(world.tenant, { quota: 9 });
    expect(await drain(world.tenant, { batchIds: [mine.batchId] })).toMatchObject({ drafted: 3 });
    expect((await world.owner.query('SELECT FROM batch_wakes')).rowCount).toBe(0);
  });

  it('serves older waiters of another batch first and owes that batch its wake', async () => {
    const newer = await queue(3, { receivedAt: '2026-01-31T08:30:00.000000Z' });
    const older = await queue(3, { receivedAt: '2026-01-31T08:00:00.000000Z' });
    await tellToWait(older.proofIds);
    await grant(world.tenant, { quota: 4 });
    const result = await drain(world.tenant, { batchIds: [newer.batchId] });
    expect(result).toMatchObject({ drafted: 4, waiting: 2, more: false });
    expect(sorted(result.batchesServed)).toEqual(sorted([newer.batchId, older.batchId]));
    expect(await drafted()).toEqual(sorted([...older.proofIds, newer.proofIds[0] as string]));
    expect(await states(newer.proofIds)).toEqual(['TIMESTAMPED', 'AWAITING_LICENSE', 'AWAITING_LICENSE']);
    const { rows } = await world.owner.query('SELECT batch_id FROM batch_wakes');
    expect(rows).toEqual([{ batch_id: older.batchId }]);
    await checkCounters();
  });

  it('tells waiters once, in one row of timeline and one event for their batch and tenant', async () => {
    const { batchId, proofIds } = await queue(5);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 5, batchesServed: [] });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0 });
    expect(new Set(await states(proofIds))).toEqual(new Set(['AWAITING_LICENSE']));
    const select = 'SELECT tenant_id, batch_id, state, members, exceptions';
    const row = {
      tenant_id: world.tenant.tenantId,
      batch_id: batchId,
      state: 'AWAITING_LICENSE',
      members: null,
      exceptions: null,
    };
    expect((await world.owner.query(`${select}, changes_state, detail FROM timeline`)).rows).toEqual([
      { ...row, changes_state: true, detail: { reason: 'no-licence' } },
    ]);
    expect((await world.owner.query(`${select}, type FROM events`)).rows).toEqual([
      { ...row, type: 'proof.awaiting_license' },
    ]);
  });

  it('names in the timeline who waits when the rest of the batch is served', async () => {
    const { proofIds } = await queue(5);
    await grant(world.tenant, { quota: 4 });
    await drain();
    const { rows } = await world.owner.query('SELECT members, exceptions, detail FROM timeline');
    expect(rows).toEqual([{ members: [proofIds[4]], exceptions: null, detail: { reason: 'quota-exhausted' } }]);
  });

  it('serves who waited once there is a grant, and nobody twice', async () => {
    const { batchId, proofIds } = await queue(3);
    await drain();
    await grant(world.tenant);
    expect(await drain()).toMatchObject({ drafted: 3, waiting: 0, batchesServed: [batchId] });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0, batchesServed: [] });
    expect(await drafted()).toEqual(sorted(proofIds));
    await checkCounters();
  });

  it('passes over a unit whose own share is used up and serves its sibling, however many wait before it', async () => {
    const left = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const right = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const stuck = await queue(30, { orgUnitId: left });
    const free = await queue(5, { orgUnitId: right, receivedAt: '2026-01-31T08:45:00.000000Z' });
    await grant(world.tenant, {
      quota: 100,
      allocations: [
        { orgUnit: left, limit: 2 },
        { orgUnit: right, limit: 50 },
      ],
    });
    const result = await drain(world.tenant, { limit: 10 });
    expect(result).toMatchObject({ drafted: 7, waiting: 28, more: false });
    expect(await drafted()).toEqual(sorted([...stuck.proofIds.slice(0, 2), ...free.proofIds]));
    await checkCounters();
  });

  it('lets a unit without a share use its parent’s', async () => {
    const child = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const grandchild = await seedOrgUnit(world.owner, world.tenant.tenantId, child);
    await queue(3, { orgUnitId: grandchild });
    await grant(world.tenant, { quota: 100, allocations: [{ orgUnit: child, limit: 2 }] });
    expect(await drain()).toMatchObject({ drafted: 2, waiting: 1 });
    await checkCounters();
  });

  it('goes on in further transactions beyond its limit and says when more is left', async () => {
    await queue(50);
    await grant(world.tenant);
    expect(await drain(world.tenant, { limit: 5 })).toMatchObject({ drafted: 40, more: true });
    expect(await drain(world.tenant, { limit: 5 })).toMatchObject({ drafted: 10, more: false });
  });

  it('hears of each transaction', async () => {
    await queue(10);
    await grant(world.tenant);
    let steps = 0;
    await drain(world.tenant, { limit: 5, onStep: () => steps++ });
    expect(steps).toBeGreaterThanOrEqual(2);
  });
});
