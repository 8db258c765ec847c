import type { Db } from '../../store/pool.ts';
import { until } from './until.ts';

/** A transaction that stays open while others run into its locks. */
export interface HeldTransaction {
  query(sql: string, values?: unknown[]): Promise<unknown>;
  /** The backend that waits for this transaction to end, once one does. */
  waiter(): Promise<number>;
  /** Ends it and gives the connection back. */
  commit(): Promise<void>;
}

/** Begins it with this statement. */
export async function holdTransaction(db: Db, sql: string, values: unknown[]): Promise<HeldTransaction> {
  const client = await db.connect();
  await client.query('BEGIN');
  await client.query(sql, values);
  const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
  const readWaiters = async (): Promise<number[]> => {
    const waiting = await db.query<{ pid: number }>(
      'SELECT pid FROM pg_locks WHERE NOT granted AND transactionid = $1::text::xid',
      [rows[0]?.xid],
    );
    return waiting.rows.map(({ pid }) => pid);
  };
  return {
    query: (more, moreValues) => client.query(more, moreValues),
    waiter: async () => (await until(readWaiters, (pids) => pids.length > 0))[0] as number,
    async commit() {
      await client.query('COMMIT');
      client.release();
    },
  };
}
