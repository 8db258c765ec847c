import type { Db } from '../../store/pool.ts';
import { until } from './until.ts';

/** The rows that two transactions meet at: `SELECT … FOR UPDATE` with its values. */
export interface Meeting {
  readonly sql: string;
  readonly values: readonly unknown[];
}

// Others than the owner's sessions show no more of themselves than their locks.
const WAITING = `
  SELECT count(DISTINCT l.pid)::int AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`;

/**
 * Runs both at once, decided in this order: holds the rows until the first waits for them and the second behind it, and
 * lets go. Postgres serves those who wait for a row as they came. Nothing else may wait for locks in this database.
 */
export async function inOrder(
  owner: Db,
  meeting: Meeting,
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
): Promise<void> {
  const both: Promise<unknown>[] = [];
  const gate = await owner.connect();
  try {
    await gate.query('BEGIN');
    await gate.query(meeting.sql, [...meeting.values]);
    for (const work of [first, second]) {
      both.push(work());
      await until(
        async () => (await owner.query<{ n: number }>(WAITING)).rows[0]?.n,
        (n) => n === both.length,
      );
    }
  } finally {
    await gate.query('COMMIT');
    gate.release();
    await Promise.all(both);
  }
}
