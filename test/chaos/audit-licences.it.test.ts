import { describe, expect, it } from '@jest/globals';
import { useBatches } from '../support/batches.ts';
import { seedTenant } from '../support/seed.ts';
import { auditLicences } from './audit-licences.ts';

const world = useBatches();

describe('the audit of licences after a storm', () => {
  it('finds nothing wrong with what was served, and each kind of counter that does not equal its rows', async () => {
    const { life, owner } = world;
    const tenant = await seedTenant(owner);
    await life.grant(tenant.tenantId, 10);
    await owner.query(
      'INSERT INTO licence_allocations (grant_id, n, org_unit_id, tenant_id, quota) SELECT grant_id, n, $1, tenant_id, 5 FROM licence_periods',
      [tenant.orgUnitId],
    );
    const { batch } = await world.formed(tenant, 2);
    await life.seal(batch);
    await life.integrate();
    await life.cover('timestamp');
    await life.advance();
    expect(await life.certify(batch)).toBe(true);
    expect(await auditLicences(owner)).toEqual({ faults: [], figures: { 'licence units': 2, 'licence counters': 3 } });

    await owner.query('UPDATE licence_unit_usage SET used = 3');
    await owner.query('UPDATE licence_allocations SET used = 1');
    await owner.query('UPDATE licence_periods SET used = 4');
    const { faults } = await auditLicences(owner);
    expect(faults).toEqual(
      ['period', 'share', 'unit'].map((counter) => expect.stringContaining(`the counter of ${counter} `)),
    );
  });
});
