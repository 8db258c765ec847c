/**
 * Standing shares: with them a grant opens its periods, and the shares of periods that have not ended follow them.
 * Callers hold the tenant's lock (`lockTenant`), so that no counter moves meanwhile.
 */
import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import type { Allocation } from '../domain/licence/grant.ts';
import type { Tx } from './pool.ts';

/** The shares of a grant, from the root down. */
export async function readShares(tx: Tx, grantId: string): Promise<readonly Allocation[]> {
  const { rows } = await tx.query<{ unit: OrgUnitId; quota: bigint }>(
    `SELECT s.org_unit_id AS unit, s.quota FROM licence_shares s JOIN org_units u ON u.id = s.org_unit_id
     WHERE s.grant_id = $1 ORDER BY u.depth, u.id`,
    [grantId],
  );
  return rows.map(({ unit, quota }) => ({ orgUnit: unit, limit: Number(quota) }));
}

/** Replaces the shares of a grant. The running periods' follow by `followShares`. */
export async function writeShares(
  tx: Tx,
  tenant: TenantId,
  grantId: string,
  shares: readonly Allocation[],
): Promise<void> {
  const units = shares.map((share) => share.orgUnit);
  await tx.query('DELETE FROM licence_shares WHERE grant_id = $1 AND org_unit_id <> ALL ($2::uuid[])', [
    grantId,
    units,
  ]);
  await tx.query(
    `INSERT INTO licence_shares (grant_id, org_unit_id, tenant_id, quota) SELECT $1, unit, $2, quota FROM unnest($3::uuid[], $4::bigint[]) AS u (unit, quota)
     ON CONFLICT (grant_id, org_unit_id) DO UPDATE SET quota = EXCLUDED.quota`,
    [grantId, tenant, units, shares.map((share) => share.limit)],
  );
}

// What lies below each share now: sums of units' own counters, never of consumption rows, of which there are millions.
const SHARES_AND_USE = `
  SELECT p.grant_id, p.n, p.tenant_id, s.org_unit_id, s.quota, (
    SELECT coalesce(sum(w.used), 0)::bigint FROM licence_unit_usage w JOIN org_units u ON u.id = w.org_unit_id
    WHERE w.grant_id = p.grant_id AND w.n = p.n AND s.org_unit_id = ANY (u.path)) AS used
  FROM licence_shares s JOIN licence_periods p ON p.grant_id = s.grant_id
  WHERE p.tenant_id = $1 AND (p.ends_at IS NULL OR p.ends_at > $2)`;

/**
 * Makes the shares of the tenant's periods that have not ended by `at` those of their grants, each with what the tree as
 * it stands used below it. A share below its use is held at its use until the period ends.
 */
export async function followShares(tx: Tx, tenant: TenantId, at: string): Promise<void> {
  await tx.query(
    `DELETE FROM licence_allocations a USING licence_periods p
     WHERE p.tenant_id = $1 AND (p.ends_at IS NULL OR p.ends_at > $2) AND a.grant_id = p.grant_id AND a.n = p.n
       AND NOT EXISTS (SELECT FROM licence_shares s WHERE s.grant_id = a.grant_id AND s.org_unit_id = a.org_unit_id)`,
    [tenant, at],
  );
  await tx.query(
    `INSERT INTO licence_allocations (grant_id, n, org_unit_id, tenant_id, quota, used)
     SELECT grant_id, n, org_unit_id, tenant_id, greatest(quota, used), used FROM (${SHARES_AND_USE}) s
     ON CONFLICT (grant_id, n, org_unit_id) DO UPDATE SET quota = EXCLUDED.quota, used = EXCLUDED.used`,
    [tenant, at],
  );
}

/** A share that is less than what is used below it. */
export interface Overdrawn {
  readonly grantId: string;
  readonly orgUnit: OrgUnitId;
  readonly quota: bigint;
  readonly used: bigint;
}

/** The first of the units' shares that is below its use in a period that has not ended. */
export async function findOverdrawn(
  tx: Tx,
  tenant: TenantId,
  at: string,
  units: readonly OrgUnitId[],
): Promise<Overdrawn | undefined> {
  const { rows } = await tx.query<Overdrawn>(
    `SELECT grant_id AS "grantId", org_unit_id AS "orgUnit", quota, used FROM (${SHARES_AND_USE}) s
     WHERE used > quota AND org_unit_id = ANY ($3::uuid[]) ORDER BY grant_id, org_unit_id LIMIT 1`,
    [tenant, at, units],
  );
  return rows[0];
}
