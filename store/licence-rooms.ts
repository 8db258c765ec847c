import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import { REVOCATION_LIST_GRACE_MS } from '../domain/licence/revocation-list.ts';
import type { Counter, PeriodRoom } from '../domain/licence/rooms.ts';
import type { Tx } from './pool.ts';

/**
 * The first lock of whatever changes licence counters of a tenant: one holder at a time. NO KEY UPDATE, so that
 * accepting submissions, whose foreign keys read this row, goes on meanwhile.
 */
export async function lockTenant(tx: Tx, tenant: TenantId): Promise<void> {
  await tx.query('SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE', [tenant]);
}

// The newest list is overdue beyond its grace.
const IS_LIST_BLOCKING = `EXISTS (SELECT FROM (SELECT next_update FROM licence_revocation_lists ORDER BY number DESC LIMIT 1) l
  WHERE l.next_update + ${REVOCATION_LIST_GRACE_MS} * interval '1 ms' <= $2::timestamptz)`;

/** Whether nothing may be consumed at `now` because a newer revocation list is long overdue. */
export async function isListBlocking(tx: Tx, now: string): Promise<boolean> {
  const { rows } = await tx.query<{ is_blocking: boolean }>(
    `SELECT ${IS_LIST_BLOCKING.replaceAll('$2', '$1')} AS is_blocking`,
    [now],
  );
  return rows[0]?.is_blocking === true;
}

/**
 * The tenant's running periods, full ones included, with their allocations, those that end first first; none while a
 * revocation list is overdue beyond its grace. A clock that was set back revives no period: what runs is judged at the
 * newest trusted time if that is later. Locks: the tenant must be locked; then periods, then allocations by (depth, unit).
 */
export async function lockRooms(tx: Tx, tenant: TenantId, now: string): Promise<readonly PeriodRoom[]> {
  const { rows: periods } = await tx.query<{ grant_id: string; n: number; quota: bigint; used: bigint }>(
    `SELECT p.grant_id, p.n, p.quota, p.used
     FROM (SELECT greatest($2::timestamptz, (SELECT trusted_at FROM licence_clock)) AS at) t
     JOIN licence_periods p ON p.tenant_id = $1 AND p.starts_at <= t.at AND (p.ends_at IS NULL OR p.ends_at > t.at)
     JOIN licence_grants g ON g.id = p.grant_id AND g.not_before <= t.at AND (g.not_after IS NULL OR g.not_after > t.at)
       AND (g.revoked_at IS NULL OR g.revoked_at > t.at) AND (g.listed_at IS NULL OR g.listed_at > t.at)
     WHERE NOT (${IS_LIST_BLOCKING})
     ORDER BY p.ends_at NULLS LAST, g.seq, p.n FOR NO KEY UPDATE OF p`,
    [tenant, now],
  );
  if (periods.length === 0) return [];
  const { rows: allocations } = await tx.query<{
    grant_id: string;
    n: number;
    org_unit_id: OrgUnitId;
    quota: bigint;
    used: bigint;
  }>(
    `SELECT a.grant_id, a.n, a.org_unit_id, a.quota, a.used FROM licence_allocations a JOIN org_units u ON u.id = a.org_unit_id
     WHERE (a.grant_id, a.n) IN (SELECT * FROM unnest($1::text[], $2::int[])) ORDER BY u.depth, u.id, a.grant_id, a.n FOR NO KEY UPDATE OF a`,
    [periods.map((p) => p.grant_id), periods.map((p) => p.n)],
  );
  return periods.map((p) => ({
    grantId: p.grant_id,
    n: p.n,
    total: counterOf(p),
    byUnit: new Map(
      allocations.filter((a) => a.grant_id === p.grant_id && a.n === p.n).map((a) => [a.org_unit_id, counterOf(a)]),
    ),
  }));
}

/** Quotas are at most 2^53 - 1: what the grant's JSON can hold. */
function counterOf(row: { readonly quota: bigint; readonly used: bigint }): Counter {
  return { quota: Number(row.quota), used: Number(row.used) };
}

/**
 * Writes the counters back. Locks are those of `lockRooms`; the tables' CHECK constraints refuse what would exceed a
 * quota at any node.
 */
export async function writeRooms(tx: Tx, periods: readonly PeriodRoom[]): Promise<void> {
  await tx.query(
    `UPDATE licence_periods p SET used = u.used FROM unnest($1::text[], $2::int[], $3::bigint[]) AS u (grant_id, n, used)
     WHERE p.grant_id = u.grant_id AND p.n = u.n AND p.used <> u.used`,
    [periods.map((p) => p.grantId), periods.map((p) => p.n), periods.map((p) => p.total.used)],
  );
  const allocations = periods.flatMap((p) =>
    [...p.byUnit].map(([unit, counter]) => ({ grantId: p.grantId, n: p.n, unit, used: counter.used })),
  );
  if (allocations.length === 0) return;
  await tx.query(
    `UPDATE licence_allocations a SET used = u.used FROM unnest($1::text[], $2::int[], $3::uuid[], $4::bigint[]) AS u (grant_id, n, unit, used)
     WHERE a.grant_id = u.grant_id AND a.n = u.n AND a.org_unit_id = u.unit AND a.used <> u.used`,
    [
      allocations.map((a) => a.grantId),
      allocations.map((a) => a.n),
      allocations.map((a) => a.unit),
      allocations.map((a) => a.used),
    ],
  );
}
