/** Consumptions, certificates and every counter say the same, at each node. */
import { checkLicenceCounters, countLicenceCounters } from '../../store/check-licence-counters.ts';
import type { Db } from '../../store/pool.ts';
import { type Audit, faultsOf } from './finding.ts';

export async function auditLicences(owner: Db): Promise<Audit> {
  const { rows } = await owner.query<{ n: number }>('SELECT count(*)::int AS n FROM licence_consumptions');
  const counters = await checkLicenceCounters(owner, new Date().toISOString());
  const faults = [
    ...counters.map(
      ({ counter, grantId, n, orgUnit, used, rows: consumed }) =>
        `the counter of ${counter} ${grantId}/${n}${orgUnit === null ? '' : ` at ${orgUnit}`} says ${used}, its consumptions are ${consumed}`,
    ),
    ...(await faultsOf(
      owner,
      'more was consumed than granted',
      `SELECT 'period' AS counter, grant_id, n, NULL::uuid AS unit, used, quota FROM licence_periods WHERE used > quota
       UNION ALL SELECT 'share', grant_id, n, org_unit_id, used, quota FROM licence_allocations WHERE used > quota`,
    )),
    ...(await faultsOf(
      owner,
      'a certificate names another grant than the one consumed',
      `SELECT c.proof_id FROM certificates c JOIN certificate_payloads v USING (proof_id) JOIN licence_consumptions k USING (proof_id) WHERE v.payload::jsonb -> 'licence' ->> 'grant' <> k.grant_id OR c.tenant_id <> k.tenant_id`,
    )),
    ...(await faultsOf(
      owner,
      'the count of what is under way is not nought',
      'SELECT tenant_id, sum(pending) AS pending FROM tenant_load GROUP BY tenant_id HAVING sum(pending) <> 0',
    )),
  ];
  return {
    faults,
    figures: { 'licence units': rows[0]?.n ?? 0, 'licence counters': await countLicenceCounters(owner) },
  };
}
