import type { OrgUnitId } from '../domain/ids.ts';
import { explainWait, type WaitExplained } from '../domain/licence/explain-wait.ts';
import type { GrantKind } from '../domain/licence/grant.ts';
import { type RevocationListState, revocationListState } from '../domain/licence/revocation-list.ts';
import { parseInstant } from '../domain/time.ts';
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
  /** What units themselves used, those below them not counted; the largest first. */
  readonly units: readonly { readonly orgUnit: OrgUnitId; readonly used: string }[];
  /** Shares of org units, from the root down; `used` counts what lies below too. */
  readonly allocations: readonly { readonly orgUnit: OrgUnitId; readonly quota: string; readonly used: string }[];
}

export interface LicenceUsage {
  /** Proofs whose evidence is complete and that wait for a unit. */
  readonly waiting: number;
  /** The same by org unit, the longest wait first, and what would release them. */
  readonly waitingByUnit: readonly ({
    readonly orgUnit: OrgUnitId;
    readonly proofs: number;
    readonly oldestReceivedAt: string;
    /** When a grant opens its next period by itself. */
    readonly renewsAt: string | null;
  } & WaitExplained)[];
  /** The revocation list that holds, and how fresh it is. */
  readonly revocationList: {
    readonly number: number | null;
    readonly nextUpdate: string | null;
    readonly state: RevocationListState;
  };
  /** The last renewal of periods, and why one since was refused. */
  readonly renewal: { readonly lastAt: string | null; readonly refusal: string | null };
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

/** Quota and use of the tenant in scope by period and unit, who waits and for what, as of `now`. Within `withTenant`. */
export async function readLicenceUsage(tx: Tx, now: string): Promise<LicenceUsage> {
  const { rows: periods } = await tx.query<PeriodUsage>(
    `SELECT p.grant_id AS grant, p.n, p.starts_at AS "startsAt", p.ends_at AS "endsAt", p.quota, p.used,
       coalesce((SELECT jsonb_agg(jsonb_build_object('orgUnit', w.org_unit_id, 'used', w.used::text) ORDER BY w.used DESC, w.org_unit_id)
         FROM licence_unit_usage w WHERE w.grant_id = p.grant_id AND w.n = p.n), '[]') AS units,
       coalesce((SELECT jsonb_agg(jsonb_build_object('orgUnit', a.org_unit_id, 'quota', a.quota::text, 'used', a.used::text) ORDER BY u.depth, u.id)
         FROM licence_allocations a JOIN org_units u ON u.id = a.org_unit_id WHERE a.grant_id = p.grant_id AND a.n = p.n), '[]') AS allocations
     FROM licence_periods p ORDER BY p.starts_at DESC, p.grant_id, p.n DESC LIMIT $1`,
    [MAX_PERIODS],
  );
  const instance = await readInstance(tx, now);
  const waitingByUnit = await readWaiting(tx, now, instance.revocationList.state === 'BLOCKING');
  const waiting = waitingByUnit.reduce((sum, unit) => sum + unit.proofs, 0);
  return { waiting, waitingByUnit, periods, ...instance };
}

async function readInstance(tx: Tx, now: string): Promise<Pick<LicenceUsage, 'revocationList' | 'renewal'>> {
  const { rows: lists } = await tx.query<{ number: number; next_update: string }>(
    'SELECT number, next_update FROM licence_revocation_lists ORDER BY number DESC LIMIT 1',
  );
  const { rows: clocks } = await tx.query<LicenceUsage['renewal']>(
    'SELECT renewed_at AS "lastAt", refusal FROM licence_clock',
  );
  const nowMs = Number((parseInstant(now) ?? 0n) / 1000n);
  return {
    revocationList: {
      number: lists[0]?.number ?? null,
      nextUpdate: lists[0]?.next_update ?? null,
      state: revocationListState(lists[0]?.next_update, nowMs),
    },
    renewal: clocks[0] ?? { lastAt: null, refusal: null },
  };
}

async function readWaiting(tx: Tx, now: string, isListBlocking: boolean): Promise<LicenceUsage['waitingByUnit']> {
  const { rows: units } = await tx.query<{
    orgUnit: OrgUnitId;
    proofs: number;
    oldestReceivedAt: string;
    path: readonly OrgUnitId[];
  }>(
    `SELECT q.org_unit_id AS "orgUnit", count(*)::int AS proofs, min(q.received_at) AS "oldestReceivedAt", u.path
     FROM licence_queue q JOIN org_units u ON u.id = q.org_unit_id GROUP BY q.org_unit_id, u.path ORDER BY min(q.received_at), q.org_unit_id`,
  );
  if (units.length === 0) return [];
  const { rows: running } = await tx.query<{
    grant_id: string;
    n: number;
    quota: bigint;
    used: bigint;
    counts: boolean;
  }>(
    `SELECT p.grant_id, p.n, p.quota, p.used, (g.revoked_at IS NULL OR g.revoked_at > $1) AND (g.listed_at IS NULL OR g.listed_at > $1) AS counts
     FROM licence_periods p JOIN licence_grants g ON g.id = p.grant_id
     WHERE p.starts_at <= $1 AND (p.ends_at IS NULL OR p.ends_at > $1) AND g.not_before <= $1 AND (g.not_after IS NULL OR g.not_after > $1)
     ORDER BY p.ends_at NULLS LAST, g.seq, p.n`,
    [now],
  );
  const { rows: shares } = await tx.query<{
    grant_id: string;
    n: number;
    unit: OrgUnitId;
    quota: bigint;
    used: bigint;
  }>(
    `SELECT grant_id, n, org_unit_id AS unit, quota, used FROM licence_allocations
     WHERE (grant_id, n) IN (SELECT * FROM unnest($1::text[], $2::int[]))`,
    [running.map((p) => p.grant_id), running.map((p) => p.n)],
  );
  const { rows: next } = await tx.query<{ at: string | null }>(
    'SELECT min(next_period_at) AS at FROM licence_grants WHERE revoked_at IS NULL AND (not_after IS NULL OR not_after > next_period_at)',
  );
  const counterOf = (row: { quota: bigint; used: bigint }) => ({ quota: Number(row.quota), used: Number(row.used) });
  const periods = running
    .filter((p) => p.counts)
    .map((p) => ({
      grantId: p.grant_id,
      n: p.n,
      total: counterOf(p),
      byUnit: new Map(
        shares.filter((s) => s.grant_id === p.grant_id && s.n === p.n).map((s) => [s.unit, counterOf(s)] as const),
      ),
    }));
  const renewsAt = next[0]?.at ?? null;
  const isRevocationInTheWay = running.some((p) => !p.counts);
  const context = { periods, isRenewalAhead: renewsAt !== null, isRevocationInTheWay, isListBlocking };
  return units.map(({ path, ...unit }) => ({ ...unit, renewsAt, ...explainWait(path, context) }));
}

/** A BASE grant of the tenant in scope with its standing shares and what is used of them now. */
export interface SharesRecord {
  readonly grant: string;
  /** Units of each period to come. */
  readonly quota: bigint;
  readonly endsAt: string | null;
  readonly allocations: readonly { readonly orgUnit: OrgUnitId; readonly limit: string; readonly used: string }[];
}

/** The standing shares of the tenant's grants that have not ended by `now`. Within `withTenant`. */
export async function listShares(tx: Tx, now: string): Promise<readonly SharesRecord[]> {
  const { rows } = await tx.query<SharesRecord>(
    `SELECT g.id AS grant, coalesce(g.units, 0) AS quota, g.ends_at AS "endsAt", coalesce((
       SELECT jsonb_agg(jsonb_build_object('orgUnit', s.org_unit_id, 'limit', s.quota::text, 'used', coalesce((
         SELECT max(a.used) FROM licence_allocations a JOIN licence_periods p ON p.grant_id = a.grant_id AND p.n = a.n
         WHERE a.grant_id = s.grant_id AND a.org_unit_id = s.org_unit_id AND (p.ends_at IS NULL OR p.ends_at > $1)), 0)::text) ORDER BY u.depth, u.id)
       FROM licence_shares s JOIN org_units u ON u.id = s.org_unit_id WHERE s.grant_id = g.id), '[]') AS allocations
     FROM licence_grants g WHERE g.kind = 'BASE' AND (g.ends_at IS NULL OR g.ends_at > $1) ORDER BY g.seq`,
    [now],
  );
  return rows;
}

/** The revocation list that holds; undefined before there is one. Of the whole instance. */
export async function readRevocationList(
  tx: Tx,
): Promise<{ number: number; hash: string; issuedAt: string; nextUpdate: string; importedAt: string } | undefined> {
  const { rows } = await tx.query(
    `SELECT number, encode(hash, 'hex') AS hash, issued_at AS "issuedAt", next_update AS "nextUpdate", imported_at AS "importedAt"
     FROM licence_revocation_lists ORDER BY number DESC LIMIT 1`,
  );
  return rows[0];
}

/** A unit of the tenant in scope. */
export interface OrgUnitRecord {
  readonly id: OrgUnitId;
  readonly parent: OrgUnitId | null;
  readonly depth: number;
  readonly name: string;
  readonly closedAt: string | null;
}

/** The tree of the tenant in scope, from the root down; at most 10,000 units. Within `withTenant`. */
export async function listOrgUnits(tx: Tx): Promise<readonly OrgUnitRecord[]> {
  const { rows } = await tx.query<OrgUnitRecord>(
    'SELECT id, parent_id AS parent, depth, name, closed_at AS "closedAt" FROM org_units ORDER BY depth, name, id LIMIT 10000',
  );
  return rows;
}
