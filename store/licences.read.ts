import type { OrgUnitId } from '../domain/ids.ts';
import type { GrantKind } from '../domain/licence/grant.ts';
import type { Tx } from './pool.ts';

/** A grant as its tenant sees it. `hash` in hex: what the next grant of the chain names. */
export interface GrantRecord {
  readonly id: string;
  readonly seq: number;
  readonly kind: GrantKind;
  readonly hash: string;
  readonly notBefore: string;
  readonly notAfter: string | null;
  readonly revokedAt: string | null;
  readonly importedAt: string;
}

export interface PeriodUsage {
  readonly grant: string;
  readonly n: number;
  readonly startsAt: string;
  readonly endsAt: string | null;
  readonly quota: bigint;
  readonly used: bigint;
  /** Shares of org units, from the root down. */
  readonly allocations: readonly { readonly orgUnit: OrgUnitId; readonly quota: string; readonly used: string }[];
}

export interface LicenceUsage {
  /** Proofs whose evidence is complete and that wait for a unit. */
  readonly waiting: number;
  /** The same by org unit, the longest wait first. */
  readonly waitingByUnit: readonly {
    readonly orgUnit: OrgUnitId;
    readonly proofs: number;
    readonly oldestReceivedAt: string;
  }[];
  /** Newest first. */
  readonly periods: readonly PeriodUsage[];
}

/** Periods that one answer holds. */
const MAX_PERIODS = 500;

/** The grants of the tenant in scope, by seq. Within `withTenant`. */
export async function listGrants(tx: Tx): Promise<readonly GrantRecord[]> {
  const { rows } = await tx.query<GrantRecord>(
    `SELECT id, seq, kind, encode(hash, 'hex') AS hash, not_before AS "notBefore", not_after AS "notAfter", revoked_at AS "revokedAt",
       imported_at AS "importedAt"
     FROM licence_grants ORDER BY seq`,
  );
  return rows;
}

/** Quota and use of the tenant in scope by period and unit, and who waits. Within `withTenant`. */
export async function readLicenceUsage(tx: Tx): Promise<LicenceUsage> {
  const { rows: periods } = await tx.query<PeriodUsage>(
    `SELECT p.grant_id AS grant, p.n, p.starts_at AS "startsAt", p.ends_at AS "endsAt", p.quota, p.used,
       coalesce((SELECT jsonb_agg(jsonb_build_object('orgUnit', a.org_unit_id, 'quota', a.quota::text, 'used', a.used::text) ORDER BY u.depth, u.id)
         FROM licence_allocations a JOIN org_units u ON u.id = a.org_unit_id WHERE a.grant_id = p.grant_id AND a.n = p.n), '[]') AS allocations
     FROM licence_periods p ORDER BY p.starts_at DESC, p.grant_id, p.n DESC LIMIT $1`,
    [MAX_PERIODS],
  );
  const { rows: waitingByUnit } = await tx.query<LicenceUsage['waitingByUnit'][number]>(
    `SELECT org_unit_id AS "orgUnit", count(*)::int AS proofs, min(received_at) AS "oldestReceivedAt"
     FROM licence_queue GROUP BY org_unit_id ORDER BY min(received_at), org_unit_id`,
  );
  return { waiting: waitingByUnit.reduce((sum, unit) => sum + unit.proofs, 0), waitingByUnit, periods };
}
