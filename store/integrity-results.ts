/** What the nightly checks found: one row a check and run, kept for good. */
import { appendAudit } from './audit.ts';
import { type Db, inTransaction, type Queryable } from './pool.ts';

export interface IntegrityResult {
  readonly check: string;
  /** RFC 3339 UTC: the run, by the time that was meant for it. */
  readonly at: string;
  readonly state: 'PASSED' | 'FAILED' | 'UNFINISHED';
  /** Rows, leaves or messages that were looked at. */
  readonly checked: number;
  readonly faultCount: number;
  /** The first of the faults, in words. */
  readonly faults: readonly string[];
  /** Why the check did not get to its end. */
  readonly code?: string;
  readonly finishedAt: string;
}

/** Keeps one outcome; a failed one is audited in the same transaction. Key (check, at): the first one stays. */
export async function recordIntegrity(db: Db, result: IntegrityResult): Promise<void> {
  const { check, at, state, checked, faultCount, faults, code, finishedAt } = result;
  await inTransaction(db, async (tx) => {
    const { rowCount } = await tx.query(
      `INSERT INTO integrity_results (check_name, at, state, checked, fault_count, faults, code, finished_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (check_name, at) DO NOTHING`,
      [check, at, state, checked, faultCount, JSON.stringify(faults), code ?? null, finishedAt],
    );
    if (rowCount === 1 && state === 'FAILED')
      await appendAudit(tx, {
        at: finishedAt,
        actor: 'system:integrity',
        action: 'integrity.failed',
        subject: check,
        detail: { run: at, faultCount, faults: [...faults] },
      });
  });
}

export interface IntegrityStanding {
  readonly check: string;
  readonly state: IntegrityResult['state'];
  readonly faultCount: number;
  readonly finishedAt: string;
  /** When the check last passed; null if it never did. */
  readonly passedAt: string | null;
}

/** How each check stands: its newest outcome, and when it last passed. A check that never ran is absent. */
export async function readIntegrity(db: Queryable): Promise<readonly IntegrityStanding[]> {
  const { rows } = await db.query<IntegrityStanding>(
    `WITH RECURSIVE checks AS (
       (SELECT check_name FROM integrity_results ORDER BY check_name LIMIT 1)
       UNION ALL
       SELECT (SELECT r.check_name FROM integrity_results r WHERE r.check_name > c.check_name ORDER BY r.check_name LIMIT 1) FROM checks c WHERE c.check_name IS NOT NULL
     )
     SELECT c.check_name AS "check", n.state, n.fault_count::int AS "faultCount", n.finished_at AS "finishedAt",
       (SELECT p.finished_at FROM integrity_results p WHERE p.check_name = c.check_name AND p.state = 'PASSED' ORDER BY p.at DESC LIMIT 1) AS "passedAt"
     FROM checks c CROSS JOIN LATERAL (SELECT * FROM integrity_results r WHERE r.check_name = c.check_name ORDER BY r.at DESC LIMIT 1) n
     ORDER BY c.check_name`,
  );
  return rows;
}
