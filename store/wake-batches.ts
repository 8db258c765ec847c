/**
 * Batches that are told to look, since their evidence is complete. One anchor may complete thousands, of as many single
 * proofs as came in its hour: they are woken in portions, as those before have looked. So neither Temporal nor the workers
 * ever queue more than a few of them, and whoever comes meanwhile waits behind those alone.
 */
import { type BatchId, workflowIds } from '../domain/ids.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/** Of each lane so many are woken and have not looked; and as many of those whose evidence took long, whom one more second does not hurt. */
export const WOKEN = 16;
/** Evidence that took longer than this after the seal took long: two express windows fit in. */
const LONG_S = 15;
/** A batch that has not looked for so long no longer keeps others from it. An attempt at certifying takes no longer. */
const LOST_S = 600;

/** How far evidence has been applied: sizes of the log. */
export interface Cursors {
  readonly timestampCursor: bigint;
  readonly anchorCursor: bigint;
}

export interface Wakes {
  readonly woken: number;
  /** Complete, but not woken for want of a place. */
  readonly left: number;
}

/**
 * Owes the next of the complete batches their wake, those that were sealed first. The rule of completeness is `armBatch`'s:
 * both run under the lock of log_progress, so that none is woken twice. Key (batch): armed batches only.
 */
export async function wakeComplete(tx: Tx, { timestampCursor, anchorCursor }: Cursors, now: string): Promise<Wakes> {
  const { rows } = await tx.query<{ woken: { id: BatchId; generation: number }[]; left: number }>(
    `WITH complete AS MATERIALIZED (
       SELECT id, lane, sealed_at, sealed_at < $3::timestamptz - interval '${LONG_S} s' AS took_long FROM batches
       WHERE state = 'SEALED' AND evidence_complete_at IS NULL AND leaves_pending = 0 AND max_leaf_index < $1::bigint
         AND (anchor_policy = 'NONE' OR max_leaf_index < $2::bigint OR (anchor_policy = 'PREFERRED' AND anchor_deadline <= $3))
     ), under_way AS MATERIALIZED (
       SELECT lane, sealed_at < evidence_complete_at - interval '${LONG_S} s' AS took_long, count(*) AS n FROM batches
       WHERE is_woken AND evidence_complete_at > $3::timestamptz - interval '${LOST_S} s' AND EXISTS (SELECT FROM complete) GROUP BY 1, 2
     ), placed AS MATERIALIZED (
       SELECT c.id, row_number() OVER (PARTITION BY c.lane, c.took_long ORDER BY c.sealed_at, c.id) + coalesce(u.n, 0) AS place
       FROM complete c LEFT JOIN under_way u ON u.lane = c.lane AND u.took_long = c.took_long
     ), woken AS (
       UPDATE batches SET evidence_complete_at = $3, is_woken = true WHERE id IN (SELECT id FROM placed WHERE place <= ${WOKEN})
       RETURNING id, generation
     )
     SELECT (SELECT coalesce(jsonb_agg(to_jsonb(woken)), '[]') FROM woken) AS woken,
       (SELECT count(*)::int FROM placed WHERE place > ${WOKEN}) AS left`,
    [timestampCursor.toString(), anchorCursor.toString(), now],
  );
  const { woken, left } = rows[0] ?? { woken: [], left: 0 };
  await enqueueMotion(
    tx,
    woken.map(({ id, generation }) => ({
      kind: 'signal' as const,
      workflowId: workflowIds.certifyBatch(id, generation),
      name: 'evidenceComplete',
      payload: {},
    })),
    now,
  );
  return { woken: woken.length, left };
}

/**
 * Wakes what nobody else comes to wake: batches for which there was no place, and those whose earliest PREFERRED deadline
 * has passed while their timestamp was there already. Locks: log_progress, batches.
 */
export async function wakeDue(db: Db, input: { readonly origin: string; readonly now: string }): Promise<Wakes> {
  const { rows: due } = await db.query(
    `SELECT FROM batches b, log_progress l WHERE l.origin = $1 AND b.state = 'SEALED' AND b.evidence_complete_at IS NULL
       AND b.max_leaf_index < l.timestamp_cursor
       AND (b.anchor_policy = 'NONE' OR b.max_leaf_index < l.anchor_cursor OR (b.anchor_policy = 'PREFERRED' AND b.anchor_deadline <= $2)) LIMIT 1`,
    [input.origin, input.now],
  );
  if (due.length === 0) return { woken: 0, left: 0 };
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ timestamp_cursor: bigint; anchor_cursor: bigint }>(
      'SELECT timestamp_cursor, anchor_cursor FROM log_progress WHERE origin = $1 FOR UPDATE',
      [input.origin],
    );
    const progress = rows[0];
    if (progress === undefined) return { woken: 0, left: 0 };
    const cursors = { timestampCursor: progress.timestamp_cursor, anchorCursor: progress.anchor_cursor };
    return wakeComplete(tx, cursors, input.now);
  });
}

/** The batch has looked, or could not: its place is another's. */
export async function markLooked(db: Db, batch: BatchId): Promise<void> {
  await db.query('UPDATE batches SET is_woken = false WHERE id = $1 AND is_woken', [batch]);
}
