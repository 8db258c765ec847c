import { toMicros } from '../domain/clock.ts';
import type { TenantId } from '../domain/ids.ts';
import type { BaseGrant } from '../domain/licence/grant.ts';
import { type Period, periodCount, periodOf } from '../domain/licence/terms.ts';
import { parseInstant } from '../domain/time.ts';
import { readShares } from './licence-shares.ts';
import type { Tx } from './pool.ts';

/** A period of a grant with the units it begins with, rollover included. */
export interface NewPeriod {
  readonly n: number;
  readonly startsAt: string;
  readonly endsAt: string | null;
  readonly quota: number;
}

interface Last {
  readonly n: number;
  readonly unused: number;
}

/**
 * The periods of a grant that have begun by `now` and follow `last`, each with what the one before it leaves over, and
 * when the next one begins (null if there is none).
 */
export function duePeriods(
  grant: BaseGrant,
  now: string,
  last?: Last,
): { readonly periods: readonly NewPeriod[]; readonly nextAt: string | null } {
  const nowMs = Number((parseInstant(now) ?? 0n) / 1000n);
  const rollover = 'rollover' in grant.term ? grant.term.rollover : 0;
  const periods: NewPeriod[] = [];
  let carried = Math.min(rollover, last?.unused ?? 0);
  for (let n = last === undefined ? 0 : last.n + 1; n < periodCount(grant.term); n++) {
    const period = periodOf(grant.term, n);
    if (period.startsAtMs > nowMs) return { periods, nextAt: startOf(period) };
    const quota = grant.quota + carried;
    periods.push({ n, startsAt: startOf(period), endsAt: endOf(period), quota });
    carried = Math.min(rollover, quota);
  }
  return { periods, nextAt: null };
}

/** Writes periods with their allocations; those that have ended already get none, since nobody can consume there. */
export async function insertPeriods(
  tx: Tx,
  grant: BaseGrant,
  due: { readonly periods: readonly NewPeriod[]; readonly nextAt: string | null },
  now: string,
): Promise<void> {
  const { periods, nextAt } = due;
  await tx.query('UPDATE licence_grants SET next_period_at = $2 WHERE id = $1', [grant.grantId, nextAt]);
  if (periods.length === 0) return;
  await tx.query(
    `INSERT INTO licence_periods (grant_id, n, tenant_id, starts_at, ends_at, quota)
     SELECT $1, u.* FROM unnest($3::int[], array_fill($2::uuid, ARRAY[cardinality($3::int[])]), $4::timestamptz[], $5::timestamptz[], $6::bigint[]) AS u`,
    [
      grant.grantId,
      grant.tenant,
      periods.map((p) => p.n),
      periods.map((p) => p.startsAt),
      periods.map((p) => p.endsAt),
      periods.map((p) => p.quota),
    ],
  );
  await tx.query(
    `INSERT INTO licence_allocations (grant_id, n, org_unit_id, tenant_id, quota)
     SELECT p.grant_id, p.n, a.unit, p.tenant_id, a.quota FROM licence_periods p, unnest($3::uuid[], $4::bigint[]) AS a (unit, quota)
     WHERE p.grant_id = $1 AND p.n = ANY ($2::int[]) AND (p.ends_at IS NULL OR p.ends_at > $5)`,
    [
      grant.grantId,
      periods.map((p) => p.n),
      grant.allocations.map((a) => a.orgUnit),
      grant.allocations.map((a) => a.limit),
      now,
    ],
  );
}

/** Opens what has begun by `now` of the tenant's grants, as they stand. Locks: the tenant must be locked. */
export async function openDuePeriods(tx: Tx, tenant: TenantId, now: string): Promise<number> {
  const { rows } = await tx.query<{
    payload: BaseGrant;
    units: bigint | null;
    n: number | null;
    unused: bigint | null;
  }>(
    `SELECT g.payload, g.units, p.n, p.quota - p.used AS unused FROM licence_grants g
     LEFT JOIN LATERAL (SELECT * FROM licence_periods q WHERE q.grant_id = g.id ORDER BY q.n DESC LIMIT 1) p ON true
     WHERE g.tenant_id = $1 AND g.next_period_at <= $2 AND g.revoked_at IS NULL ORDER BY g.seq`,
    [tenant, now],
  );
  let opened = 0;
  for (const { payload, units, n, unused } of rows) {
    const allocations = await readShares(tx, payload.grantId);
    const grant = { ...payload, quota: Number(units ?? payload.quota), allocations };
    const due = duePeriods(grant, now, n === null ? undefined : { n, unused: Number(unused) });
    await insertPeriods(tx, grant, due, now);
    opened += due.periods.length;
  }
  return opened;
}

function startOf(period: Period): string {
  return toMicros(BigInt(period.startsAtMs) * 1000n);
}

function endOf(period: Period): string | null {
  return period.endsAtMs === undefined ? null : toMicros(BigInt(period.endsAtMs) * 1000n);
}
