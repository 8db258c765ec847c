import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import { REVOCATION_LIST_GRACE_MS } from '../domain/licence/revocation-list.ts';
import type { PeriodRoom } from '../domain/licence/rooms.ts';
import { arrayLiteral } from './array-literal.ts';
import { asStoreError, type Queryable, type Tx } from './pool.ts';

/**
 * The first lock of whatever changes licence counters of a tenant: one holder at a time. NO KEY UPDATE, so that
 * accepting submissions, whose foreign keys read this row, goes on meanwhile.
 */
export async function lockTenant(tx: Tx, tenant: TenantId): Promise<void> {
  await tx.query('SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE', [tenant]);
}

/** An org unit that has proofs in the licence queue. */
export interface Unit {
  readonly id: OrgUnitId;
  /** Root first, this unit last. */
  readonly path: readonly OrgUnitId[];
}

export interface TenantRooms {
  /** The units that were asked for. */
  readonly units: ReadonlyMap<OrgUnitId, Unit>;
  /** The running periods, full ones included, those that end first first; none while a revocation list blocks. */
  readonly periods: readonly PeriodRoom[];
  /** Amendments or periods fall due: advance the grants, then read again. */
  readonly isDue: boolean;
  /** Nothing may be consumed because a newer revocation list is long overdue. */
  readonly isListBlocking: boolean;
}

// One index probe a unit, not a scan of the queue.
const QUEUED_UNITS = `
  WITH RECURSIVE queued AS (
    (SELECT org_unit_id FROM licence_queue WHERE tenant_id = $1 ORDER BY org_unit_id LIMIT 1)
    UNION ALL
    SELECT next.org_unit_id FROM queued CROSS JOIN LATERAL (
      SELECT q.org_unit_id FROM licence_queue q WHERE q.tenant_id = $1 AND q.org_unit_id > queued.org_unit_id ORDER BY q.org_unit_id LIMIT 1) next
  )
  SELECT org_unit_id AS id FROM queued`;

/**
 * The tenant's units that have proofs in the licence queue. Takes no lock: what others serve just now still counts. Throws
 * STORE_UNAVAILABLE.
 */
export async function readQueuedUnits(db: Queryable, tenant: TenantId): Promise<readonly OrgUnitId[]> {
  try {
    const { rows } = await db.query<{ id: OrgUnitId }>(QUEUED_UNITS, [tenant]);
    return rows.map(({ id }) => id);
  } catch (error) {
    throw asStoreError(error);
  }
}

// A clock that was set back revives no period and freshens no revocation list: what
// runs is judged at the newest trusted time if that is later.
const ROOMS = `
  WITH clock AS MATERIALIZED (
    SELECT greatest($2::timestamptz, (SELECT trusted_at FROM licence_clock)) AS at
  ), judged AS MATERIALIZED (
    SELECT at, EXISTS (SELECT FROM (SELECT next_update FROM licence_revocation_lists ORDER BY number DESC LIMIT 1) l
      WHERE l.next_update + ${REVOCATION_LIST_GRACE_MS} * interval '1 ms' <= at) AS is_blocking
    FROM clock
  ), periods AS (
    SELECT p.grant_id, p.n, p.quota, p.used, p.ends_at, g.seq FROM judged t
    JOIN licence_periods p ON p.tenant_id = $1 AND p.starts_at <= t.at AND (p.ends_at IS NULL OR p.ends_at > t.at)
    JOIN licence_grants g ON g.id = p.grant_id AND g.not_before <= t.at AND (g.not_after IS NULL OR g.not_after > t.at)
      AND (g.revoked_at IS NULL OR g.revoked_at > t.at) AND (g.listed_at IS NULL OR g.listed_at > t.at)
    WHERE NOT t.is_blocking
    ORDER BY p.ends_at NULLS LAST, g.seq, p.n FOR NO KEY UPDATE OF p
  ), shares AS (
    SELECT a.grant_id, a.n, a.org_unit_id, a.quota, a.used FROM licence_allocations a JOIN org_units u ON u.id = a.org_unit_id
    WHERE (a.grant_id, a.n) IN (SELECT grant_id, n FROM periods) ORDER BY u.depth, u.id, a.grant_id, a.n FOR NO KEY UPDATE OF a
  )
  SELECT (SELECT is_blocking FROM judged) AS "isListBlocking",
    EXISTS (SELECT FROM licence_grants WHERE tenant_id = $1
      AND ((next_period_at <= $2::timestamptz AND revoked_at IS NULL) OR (applied_at IS NULL AND effective_at <= $2::timestamptz))) AS "isDue",
    (SELECT coalesce(json_agg(json_build_object('id', u.id, 'path', u.path)), '[]') FROM org_units u WHERE u.id = ANY ($3::uuid[])) AS units,
    (SELECT coalesce(json_agg(json_build_object('grantId', grant_id, 'n', n, 'quota', quota, 'used', used) ORDER BY ends_at NULLS LAST, seq, n), '[]')
     FROM periods) AS periods,
    (SELECT coalesce(json_agg(json_build_object('grantId', grant_id, 'n', n, 'unit', org_unit_id, 'quota', quota, 'used', used)), '[]') FROM shares) AS shares`;

/** Quotas are at most 2^53 - 1: what the grant's JSON can hold. */
interface CounterRow {
  readonly grantId: string;
  readonly n: number;
  readonly quota: number;
  readonly used: number;
}

/**
 * Where the units lie in the tree, and the running periods with their shares. Locks: the tenant must be locked; then periods, then shares by (depth, unit).
 */
export async function lockRooms(
  tx: Tx,
  tenant: TenantId,
  queued: readonly OrgUnitId[],
  now: string,
): Promise<TenantRooms> {
  const { rows } = await tx.query<{
    isListBlocking: boolean;
    isDue: boolean;
    units: readonly Unit[];
    periods: readonly CounterRow[];
    shares: readonly (CounterRow & { readonly unit: OrgUnitId })[];
  }>({ name: 'lock-rooms', text: ROOMS, values: [tenant, now, arrayLiteral(queued)] });
  const { isListBlocking = false, isDue = false, units = [], periods = [], shares = [] } = rows[0] ?? {};
  return {
    isListBlocking,
    isDue,
    units: new Map(units.map((unit) => [unit.id, unit])),
    periods: periods.map(({ grantId, n, quota, used }) => ({
      grantId,
      n,
      total: { quota, used },
      byUnit: new Map(
        shares
          .filter((share) => share.grantId === grantId && share.n === n)
          .map((share) => [share.unit, { quota: share.quota, used: share.used }]),
      ),
    })),
  };
}
