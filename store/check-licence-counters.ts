import { type Db, inTransaction, queryWithin } from './pool.ts';

/** A counter that does not equal its rows. */
export interface CounterFault {
  readonly counter: 'period' | 'share' | 'unit';
  readonly grantId: string;
  readonly n: number;
  /** Absent for the counter of a period. */
  readonly orgUnit: string | null;
  readonly used: bigint;
  /** Consumption rows: of the period; of the unit and those below it as the tree stands; of the unit itself. */
  readonly rows: bigint;
}

/** Less than the activity has that runs it. */
const CHECK_WITHIN_MS = 600_000;

// Shares of periods that are over keep what they counted when they ended, whatever moved in the tree since.
const FAULTS = `
  WITH counted AS MATERIALIZED (
    SELECT c.grant_id, c.n, c.org_unit_id, count(*) AS rows FROM licence_consumptions c GROUP BY c.grant_id, c.n, c.org_unit_id
  ), counters AS (
    SELECT 'period' AS counter, p.grant_id, p.n, NULL::uuid AS unit, p.used,
      (SELECT coalesce(sum(c.rows), 0)::bigint FROM counted c WHERE c.grant_id = p.grant_id AND c.n = p.n) AS rows
    FROM licence_periods p
    UNION ALL
    SELECT 'share', a.grant_id, a.n, a.org_unit_id, a.used,
      (SELECT coalesce(sum(c.rows), 0)::bigint FROM counted c JOIN org_units u ON u.id = c.org_unit_id
       WHERE c.grant_id = a.grant_id AND c.n = a.n AND a.org_unit_id = ANY (u.path))
    FROM licence_allocations a JOIN licence_periods p ON p.grant_id = a.grant_id AND p.n = a.n WHERE p.ends_at IS NULL OR p.ends_at > $1
    UNION ALL
    SELECT 'unit', coalesce(w.grant_id, c.grant_id), coalesce(w.n, c.n), coalesce(w.org_unit_id, c.org_unit_id), coalesce(w.used, 0), coalesce(c.rows, 0)
    FROM licence_unit_usage w FULL JOIN counted c ON c.grant_id = w.grant_id AND c.n = w.n AND c.org_unit_id = w.org_unit_id
  )
  SELECT counter, grant_id AS "grantId", n, unit AS "orgUnit", used, rows FROM counters WHERE used <> rows ORDER BY grant_id, n, counter, unit LIMIT 1000`;

/** How many counters there are. */
export async function countLicenceCounters(db: Db): Promise<number> {
  const { rows } = await db.query<{ counters: bigint }>(
    'SELECT (SELECT count(*) FROM licence_periods) + (SELECT count(*) FROM licence_allocations) + (SELECT count(*) FROM licence_unit_usage) AS counters',
  );
  return Number(rows[0]?.counters ?? 0n);
}

/**
 * The nightly check: every counter against the rows that it stands for, in one snapshot, so that consumption may go on
 * meanwhile. At most the first 1,000 faults; none on a sound database. Reads every consumption once, within ten minutes.
 */
export function checkLicenceCounters(db: Db, now: string): Promise<readonly CounterFault[]> {
  return inTransaction(db, async (tx) => (await queryWithin<CounterFault>(tx, CHECK_WITHIN_MS, FAULTS, [now])).rows);
}
