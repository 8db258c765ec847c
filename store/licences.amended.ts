import type { OrgUnitId, TenantId } from '../domain/ids.ts';
import type { AmendedGrant } from '../domain/licence/check-amendment.ts';
import type { GrantKind } from '../domain/licence/grant.ts';
import { parseInstant } from '../domain/time.ts';
import { readShares } from './licence-shares.ts';
import type { Tx } from './pool.ts';

/** A grant of the tenant as the checks of an amendment need it. Locks: the tenant must be locked for it to stay true. */
export async function readAmendedGrant(
  tx: Tx,
  tenant: TenantId,
  grantId: string,
  now: string,
): Promise<AmendedGrant | undefined> {
  const { rows } = await tx.query<{
    kind: GrantKind;
    units: bigint | null;
    ends_at: string | null;
    is_revoked: boolean;
    target_kind: GrantKind | null;
  }>(
    `SELECT g.kind, g.units, g.ends_at, t.kind AS target_kind,
       g.revoked_at IS NOT NULL OR EXISTS (SELECT FROM licence_grants r WHERE r.target_id = g.id AND r.kind = 'REVOCATION' AND r.revoked_at IS NULL) AS is_revoked
     FROM licence_grants g LEFT JOIN licence_grants t ON t.id = g.target_id WHERE g.id = $1 AND g.tenant_id = $2`,
    [grantId, tenant],
  );
  const grant = rows[0];
  if (grant === undefined) return undefined;
  const { rows: used } = await tx.query<{ unit: OrgUnitId; used: bigint }>(
    `SELECT unit, max(used) AS used FROM (
       SELECT unnest(u.path) AS unit, w.n, sum(w.used)::bigint AS used FROM licence_unit_usage w JOIN org_units u ON u.id = w.org_unit_id
       JOIN licence_periods p ON p.grant_id = w.grant_id AND p.n = w.n
       WHERE w.grant_id = $1 AND (p.ends_at IS NULL OR p.ends_at > $2) GROUP BY 1, 2) s GROUP BY unit`,
    [grantId, now],
  );
  const usedBy = new Map(used.map((row) => [row.unit, Number(row.used)]));
  return {
    grantId,
    kind: grant.kind,
    isRevoked: grant.is_revoked,
    units: Number(grant.units ?? 0n),
    shares: await readShares(tx, grantId),
    usedOf: (unit) => usedBy.get(unit) ?? 0,
    ...(grant.target_kind !== null && { targetKind: grant.target_kind }),
    ...(grant.ends_at !== null && { endsAtMs: Number((parseInstant(grant.ends_at) ?? 0n) / 1000n) }),
  };
}
