import type { Db, Queryable } from './pool.ts';

/** A start or a signal that a transaction owes to Temporal. Payloads hold ids only. */
export type Motion =
  | { readonly kind: 'start'; readonly workflowId: string; readonly name: string; readonly payload: unknown }
  | { readonly kind: 'signal'; readonly workflowId: string; readonly name: string; readonly payload: unknown };

export type DueMotion = Motion & { readonly id: bigint; readonly attempts: number };

/** Writes motion in the transaction that causes it; the relay hears of it at commit. */
export async function enqueueMotion(tx: Queryable, motions: readonly Motion[], at: string): Promise<void> {
  if (motions.length === 0) return;
  await tx.query(
    `INSERT INTO outbox (kind, workflow_id, name, payload, next_attempt_at, created_at)
     SELECT kind, workflow_id, name, payload, $2::timestamptz, $2::timestamptz
     FROM jsonb_to_recordset($1) AS r (kind text, workflow_id text, name text, payload jsonb)`,
    [
      JSON.stringify(
        motions.map((m) => ({ kind: m.kind, workflow_id: m.workflowId, name: m.name, payload: m.payload })),
      ),
      at,
    ],
  );
  await tx.query("SELECT pg_notify('proofline_outbox', '')");
}

/**
 * Hands what is due to `deliver`, oldest first, and deletes what was delivered: at least once, since a crash between
 * the two repeats it. Rows stay locked meanwhile, so that two relays share the work. Returns how many were handled.
 */
export async function takeDueMotion(tx: Queryable, limit: number, now: string): Promise<readonly DueMotion[]> {
  const { rows } = await tx.query(
    `SELECT id, kind, workflow_id AS "workflowId", name, payload, attempts FROM outbox WHERE next_attempt_at <= $2 ORDER BY next_attempt_at, id LIMIT $1 FOR UPDATE SKIP LOCKED`,
    [limit, now],
  );
  return rows as DueMotion[];
}

export async function deleteMotion(tx: Queryable, ids: readonly bigint[]): Promise<void> {
  if (ids.length > 0) await tx.query('DELETE FROM outbox WHERE id = ANY ($1::bigint[])', [ids.map(String)]);
}

/** Puts undelivered motion off until `nextAttemptAt`. */
export async function postponeMotion(tx: Queryable, ids: readonly bigint[], nextAttemptAt: string): Promise<void> {
  if (ids.length > 0)
    await tx.query('UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2 WHERE id = ANY ($1::bigint[])', [
      ids.map(String),
      nextAttemptAt,
    ]);
}

export interface OutboxLag {
  readonly rows: bigint;
  /** Seconds since the oldest undelivered row was written; 0 when there is none. */
  readonly oldestSeconds: number;
}

export async function readOutboxLag(db: Db): Promise<OutboxLag> {
  const { rows } = await db.query(
    'SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest FROM outbox',
  );
  return { rows: rows[0].rows, oldestSeconds: rows[0].oldest };
}
