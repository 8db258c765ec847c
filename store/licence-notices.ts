/** What a tenant is told once of a grant: that a period is used up, that the grant ends soon. */
import type { TenantId } from '../domain/ids.ts';
import type { PeriodRoom } from '../domain/licence/rooms.ts';
import type { Tx } from './pool.ts';

/** Days before the end of a grant at which `license.expiring` is sent. */
export const EXPIRY_WARNINGS_DAYS = [30, 7, 1] as const;

/** Writes `license.exhausted` for those of the periods that are used up, once a period. */
export async function noteExhausted(
  tx: Tx,
  tenant: TenantId,
  periods: readonly PeriodRoom[],
  at: string,
): Promise<void> {
  const full = periods.filter(({ total }) => total.used >= total.quota);
  if (full.length === 0) return;
  await tx.query(
    `WITH noted AS (
       INSERT INTO licence_notices (grant_id, kind, n, tenant_id, at)
       SELECT grant_id, 'exhausted', n, $1::uuid, $4::timestamptz FROM unnest($2::text[], $3::int[]) AS u (grant_id, n)
       ON CONFLICT DO NOTHING RETURNING grant_id, n)
     INSERT INTO events (at, type, tenant_id, payload)
     SELECT $4, 'license.exhausted', $1, jsonb_build_object('grantId', p.grant_id, 'period', p.n, 'quota', p.quota,
       'endsAt', to_char(p.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
     FROM noted JOIN licence_periods p USING (grant_id, n)`,
    [tenant, full.map((p) => p.grantId), full.map((p) => p.n), at],
  );
}

/**
 * Writes `license.expiring` for the tenant's grants that end within 30, 7 or 1 days of `at`: once for each, and after a
 * pause in which several fell due only the last of them. Returns how many events it wrote. Locks: the tenant must be locked.
 */
export async function noteExpiring(tx: Tx, tenant: TenantId, at: string): Promise<number> {
  const { rowCount } = await tx.query(
    `WITH due AS (
       SELECT g.id, g.ends_at, d.days FROM licence_grants g CROSS JOIN unnest($3::int[]) AS d (days)
       WHERE g.tenant_id = $1 AND g.kind = 'BASE' AND g.revoked_at IS NULL AND g.ends_at > $2::timestamptz
         AND g.ends_at - d.days * interval '1 day' <= $2::timestamptz
     ), noted AS (
       INSERT INTO licence_notices (grant_id, kind, n, tenant_id, at) SELECT id, 'expiring', days, $1, $2 FROM due ON CONFLICT DO NOTHING RETURNING grant_id, n
     ), last AS (SELECT grant_id, min(n) AS days FROM noted GROUP BY grant_id)
     INSERT INTO events (at, type, tenant_id, payload)
     SELECT $2, 'license.expiring', $1, jsonb_build_object('grantId', l.grant_id, 'days', l.days,
       'endsAt', to_char(g.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
     FROM last l JOIN licence_grants g ON g.id = l.grant_id
     WHERE NOT EXISTS (SELECT FROM licence_notices e WHERE e.grant_id = l.grant_id AND e.kind = 'expiring' AND e.n < l.days)`,
    [tenant, at, EXPIRY_WARNINGS_DAYS],
  );
  return rowCount ?? 0;
}
