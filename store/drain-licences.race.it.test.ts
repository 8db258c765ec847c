import { describe, expect, it } from '@jest/globals';
import type { BatchId, OrgUnitId } from '../domain/ids.ts';
import { holdTransaction } from '../test/support/held-transaction.ts';
import { useLicenceDrain } from '../test/support/licence-drain.ts';
import { seedOrgUnit } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';

const world = useLicenceDrain();
const { checkCounters, drafted, drain, grant, queue } = world;

describe('draining licences while others work', () => {
  it('never exceeds a limit at any node under 64 concurrent callers', async () => {
    const left = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const right = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const leaf = await seedOrgUnit(world.owner, world.tenant.tenantId, left);
    const units: readonly OrgUnitId[] = [world.tenant.orgUnitId, left, right, leaf];
    for (let i = 0; i < 24; i++) {
      const orgUnitId = units[i % units.length] as OrgUnitId;
      await queue(10, { orgUnitId, receivedAt: `2026-01-31T08:${String(59 - i).padStart(2, '0')}:00.000000Z` });
    }
    await grant(world.tenant, {
      quota: 150,
      allocations: [
        { orgUnit: left, limit: 60 },
        { orgUnit: leaf, limit: 17 },
        { orgUnit: right, limit: 13 },
      ],
    });
    const results = await Promise.all(
      Array.from({ length: 64 }, (_, i) => drain(world.tenant, { limit: 1 + (i % 9) })),
    );
    let total = results.reduce((sum, r) => sum + r.drafted, 0);
    for (let more = true; more; ) {
      const rest = await drain();
      total += rest.drafted;
      more = rest.more;
    }
    // 60 of the root's own, 60 under left (17 of them or fewer in its leaf), 13 of right.
    expect(total).toBe(60 + 60 + 13);
    expect((await drafted()).length).toBe(total);
    const { rows } = await world.owner.query("SELECT count(*)::int AS n FROM proofs WHERE state = 'AWAITING_LICENSE'");
    expect(rows[0].n).toBe(240 - total);
    await checkCounters();
  }, 60_000);

  it('keeps tenants apart, and two batches that hold both in opposite order do not block each other', async () => {
    const other = await seedTenant(world.owner);
    const of = (t: SeededTenant) => ({ tenantId: t.tenantId, orgUnitId: t.orgUnitId });
    const first = await queue(20, of(world.tenant));
    await queue(20, { ...of(other), batchId: first.batchId });
    const second = await queue(20, of(other));
    await queue(20, { ...of(world.tenant), batchId: second.batchId });
    await grant(world.tenant, { quota: 25 });
    await grant(other, { quota: 1_000 });
    const run = async (order: readonly SeededTenant[], batchId: BatchId) => {
      for (const t of order)
        await drain(t, { batchIds: [batchId], limit: 3 }).then(() => drain(t, { batchIds: [batchId] }));
    };
    await Promise.all([run([world.tenant, other], first.batchId), run([other, world.tenant], second.batchId)]);
    const { rows } = await world.owner.query(
      'SELECT tenant_id, count(*)::int AS n FROM certificates GROUP BY tenant_id',
    );
    expect(new Map(rows.map((row) => [row.tenant_id, row.n]))).toEqual(
      new Map([
        [world.tenant.tenantId, 25],
        [other.tenantId, 40],
      ]),
    );
    await checkCounters();
  });

  it('loses the race against a cancellation that holds the row, and takes no unit', async () => {
    const { proofIds } = await queue(2);
    await grant(world.tenant);
    const cancelling = await holdTransaction(world.owner, "UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [
      proofIds[0],
    ]);
    const draining = drain();
    await cancelling.waiter();
    await cancelling.commit();
    expect(await draining).toMatchObject({ drafted: 1 });
    expect(await drafted()).toEqual([proofIds[1]]);
    expect((await world.owner.query('SELECT FROM licence_queue')).rowCount).toBe(0);
    await checkCounters();
  });

  it('charges units by the tree as it stands once the tenant is locked, and leaves who joined meanwhile to their own caller', async () => {
    const left = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const right = await seedOrgUnit(world.owner, world.tenant.tenantId, world.tenant.orgUnitId);
    const leaf = await seedOrgUnit(world.owner, world.tenant.tenantId, left);
    await queue(4, { orgUnitId: leaf, receivedAt: '2026-01-31T08:30:00.000000Z' });
    await grant(world.tenant, {
      quota: 100,
      allocations: [
        { orgUnit: left, limit: 1 },
        { orgUnit: right, limit: 9 },
      ],
    });
    const other = await holdTransaction(world.owner, 'SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE', [
      world.tenant.tenantId,
    ]);
    // A chunk for which there is room everywhere: the queue is read in one scan.
    const draining = drain(world.tenant, { limit: 5 });
    await other.waiter();
    // The drain has read which units queue, and holds no lock yet.
    await other.query('UPDATE org_units SET parent_id = $2, path = $3 WHERE id = $1', [
      leaf,
      right,
      [world.tenant.orgUnitId, right, leaf],
    ]);
    const older = await queue(5, { orgUnitId: left, receivedAt: '2026-01-31T08:00:00.000000Z' });
    await other.commit();
    expect(await draining).toMatchObject({ drafted: 4, waiting: 0, more: false });
    const { rows: shares } = await world.owner.query('SELECT org_unit_id AS unit, used FROM licence_allocations');
    expect(new Map(shares.map((row) => [row.unit, row.used]))).toEqual(
      new Map([
        [left, 0n],
        [right, 4n],
      ]),
    );
    expect(await drain()).toMatchObject({ drafted: 1, waiting: 4 });
    expect(await drafted()).toContain(older.proofIds[0]);
    await checkCounters();
  });

  it('takes no lock where nobody queues', async () => {
    const client = await world.owner.connect();
    await client.query('BEGIN');
    await client.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [world.tenant.tenantId]);
    expect(await drain()).toEqual({ drafted: 0, waiting: 0, batchesServed: [], unready: [], more: false });
    await client.query('ROLLBACK');
    client.release();
  });
});
