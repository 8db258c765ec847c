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
  /** One page, newest first. */
  readonly periods: readonly PeriodUsage[];
}

/** A period's place in the list: of those that start together the grants by id. */
export interface PeriodPosition {
  readonly startsAt: string;
  readonly grant: string;
}

export interface PeriodPage {
  readonly after?: PeriodPosition;
  readonly limit: number;
}

/** The grants of the tenant in scope, by seq. Within `withTenant`. */
export async function listGrants(tx: Tx): Promise<readonly GrantRecord[]> {
  const { rows } = await tx.query<GrantRecord>(
    `SELECT id, seq, kind, encode(hash, 'hex') AS hash, not_before AS "notBefore", not_after AS "notAfter", revoked_at AS "revokedAt",
       imported_at AS "importedAt"
     FROM licence_grants ORDER BY seq`,
  );
  return rows;
}

/**
 * Quota and use of the tenant in scope by period and unit, who waits and for what, as of `now`, or of the newest trusted time if
 * that is later, as drains judge it. Within `withTenant`.
 */
export async function readLicenceUsage(tx: Tx, now: string, page: PeriodPage): Promise<LicenceUsage> {
  const { rows: periods } = await tx.query<PeriodUsage>(
    `SELECT p.grant_id AS grant, p.n, p.starts_at AS "startsAt", p.ends_at AS "endsAt", p.quota, p.used,
       coalesce((SELECT jsonb_agg(jsonb_build_object('orgUnit', w.org_unit_id, 'used', w.used::text) ORDER BY w.used DESC, w.org_unit_id)
         FROM licence_unit_usage w WHERE w.grant_id = p.grant_id AND w.n = p.n), '[]') AS units,
       coalesce((SELECT jsonb_agg(jsonb_build_object('orgUnit', a.org_unit_id, 'quota', a.quota::text, 'used', a.used::text) ORDER BY u.depth, u.id)
         FROM licence_allocations a JOIN org_units u ON u.id = a.org_unit_id WHERE a.grant_id = p.grant_id AND a.n = p.n), '[]') AS allocations
     FROM licence_periods p
     WHERE $2::timestamptz IS NULL OR p.starts_at < $2::timestamptz OR (p.starts_at = $2::timestamptz AND p.grant_id > $3)
     ORDER BY p.starts_at DESC, p.grant_id LIMIT $1`,
    [page.limit, page.after?.startsAt ?? null, page.after?.grant ?? null],
  );
  const { at, ...instance } = await readInstance(tx, now);
  const waitingByUnit = await readWaiting(tx, at, instance.revocationList.state === 'BLOCKING');
  const waiting = waitingByUnit.reduce((sum, unit) => sum + unit.proofs, 0);
  return { waiting, waitingByUnit, periods, ...instance };
}

async function readInstance(
  tx: Tx,
  now: string,
): Promise<Pick<LicenceUsage, 'revocationList' | 'renewal'> & { readonly at: string }> {
  const { rows } = await tx.query<{ at: string; lastAt: string | null; refusal: string | null }>(
    `SELECT greatest($1::timestamptz, (SELECT trusted_at FROM licence_clock)) AS at,
       (SELECT renewed_at FROM licence_clock) AS "lastAt", (SELECT refusal FROM licence_clock) AS refusal`,
    [now],
  );
  const { at = now, lastAt = null, refusal = null } = rows[0] ?? {};
  const list = await readRevocationList(tx, now);
  const { number = null, nextUpdate = null, state = 'NONE' } = list ?? {};
  return { at, revocationList: { number, nextUpdate, state }, renewal: { lastAt, refusal } };
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

export interface RevocationListRecord {
  readonly number: number;
  readonly hash: string;
  readonly issuedAt: string;
  readonly nextUpdate: string;
  readonly importedAt: string;
  readonly state: RevocationListState;
}

/**
 * The revocation list that holds; undefined before there is one. Of the whole instance. Its state is that at `now`, or at the newest
 * trusted time if that is later: a clock that was set back freshens no list.
 */
export async function readRevocationList(tx: Tx, now: string): Promise<RevocationListRecord | undefined> {
  const { rows } = await tx.query<Omit<RevocationListRecord, 'state'> & { at: string }>(
    `SELECT number, encode(hash, 'hex') AS hash, issued_at AS "issuedAt", next_update AS "nextUpdate", imported_at AS "importedAt",
       greatest($1::timestamptz, (SELECT trusted_at FROM licence_clock)) AS at
     FROM licence_revocation_lists ORDER BY number DESC LIMIT 1`,
    [now],
  );
  if (rows[0] === undefined) return undefined;
  const { at, ...list } = rows[0];
  return { ...list, state: revocationListState(list.nextUpdate, Number((parseInstant(at) ?? 0n) / 1000n)) };
}

/** A unit of the tenant in scope. */
export interface OrgUnitRecord {
  readonly id: OrgUnitId;
  readonly parent: OrgUnitId | null;
  readonly depth: number;
  readonly name: string;
  readonly closedAt: string | null;
}

/** A unit's place in the tree as it is listed. */
export interface UnitPosition {
  readonly depth: number;
  readonly id: OrgUnitId;
}

/**
 * One page of the tree of the tenant in scope, from the root down, each level by name. A unit that moves between two pages may be on both
 * or on neither. Within `withTenant`.
 */
export async function listOrgUnits(
  tx: Tx,
  page: { readonly after?: UnitPosition; readonly limit: number },
): Promise<readonly OrgUnitRecord[]> {
  const { rows } = await tx.query<OrgUnitRecord>(
    `SELECT id, parent_id AS parent, depth, name, closed_at AS "closedAt" FROM org_units
     WHERE $3::uuid IS NULL OR (depth, name, id) > ($2::int, (SELECT name FROM org_units WHERE id = $3::uuid), $3::uuid)
     ORDER BY depth, name, id LIMIT $1`,
    [page.limit, page.after?.depth ?? null, page.after?.id ?? null],
  );
  return rows;
}

/** Whether the tenant in scope has this unit. Within `withTenant`. */
export async function hasOrgUnit(tx: Tx, id: OrgUnitId): Promise<boolean> {
  return (await tx.query('SELECT FROM org_units WHERE id = $1', [id])).rowCount === 1;
}
