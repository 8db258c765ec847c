/**
 * Batches that are told to look: their evidence is complete, members got the licence that they waited for, or support decided. One
 * anchor may complete thousands, of as many single proofs as came in its hour, and one grant serve as many, one filter end
 * them: they are woken in portions, as those before have looked. So neither Temporal nor the workers ever queue more than
 * a few of them, and whoever comes meanwhile waits behind those alone.
 */
import type { BatchId } from '../domain/ids.ts';
import { LANES } from '../domain/lane.ts';
import { type WakeName, wakeOf } from './batches.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

/** Of each lane so many are woken and have not looked; and as many of those that waited long, whom one more second does not hurt. */
export const WOKEN = 16;
/** Longer than this after its seal a batch waited long: two express windows fit in. */
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
  /** Not woken for want of a place, of those that were looked at. */
  readonly left: number;
}

// Armed, and its evidence complete, as far as it is applied.
const isComplete = (timestampCursor: string, anchorCursor: string, now: string): string => `
  b.state = 'SEALED' AND b.evidence_complete_at IS NULL AND b.leaves_pending = 0 AND b.max_leaf_index < ${timestampCursor}
    AND (b.anchor_policy = 'NONE' OR b.max_leaf_index < ${anchorCursor} OR (b.anchor_policy = 'PREFERRED' AND b.anchor_deadline <= ${now}))`;

// Of each kind few more are read than there are places: there may be tens of thousands.
const WAKE = `
  WITH complete AS MATERIALIZED (
    SELECT c.* FROM unnest($4::text[]) AS l (lane)
    CROSS JOIN (VALUES ('-infinity', $3::timestamptz - interval '${LONG_S} s', true), ($3::timestamptz - interval '${LONG_S} s', 'infinity', false)) AS w (after, before, waited_long)
    CROSS JOIN LATERAL (
      SELECT b.id, b.lane, b.sealed_at AS since, w.waited_long FROM batches b
      WHERE b.lane = l.lane AND b.sealed_at >= w.after AND b.sealed_at < w.before AND ${isComplete('$1::bigint', '$2::bigint', '$3')}
      ORDER BY b.sealed_at, b.id LIMIT ${WOKEN}) c
  ), owed AS MATERIALIZED (
    SELECT w.* FROM unnest($4::text[]) AS l (lane) CROSS JOIN LATERAL (
      SELECT id, batch_id, name, created_at FROM batch_wakes WHERE lane = l.lane ORDER BY id LIMIT ${WOKEN}) w
  ), due AS MATERIALIZED (
    SELECT id, lane, since, waited_long, 'evidenceComplete' AS name FROM complete
    UNION ALL
    SELECT b.id, b.lane, min(o.created_at), true, (array_agg(o.name ORDER BY o.id))[1] FROM owed o JOIN batches b ON b.id = o.batch_id
    WHERE b.state <> 'CLOSED' AND b.id NOT IN (SELECT id FROM complete) GROUP BY b.id
  ), under_way AS MATERIALIZED (
    SELECT lane, coalesce(sealed_at, formed_at) < evidence_complete_at - interval '${LONG_S} s' AS waited_long, count(*) AS n FROM batches
    WHERE is_woken AND evidence_complete_at > $3::timestamptz - interval '${LOST_S} s' AND EXISTS (SELECT FROM due) GROUP BY 1, 2
  ), placed AS MATERIALIZED (
    SELECT d.id, d.name, row_number() OVER (PARTITION BY d.lane, d.waited_long ORDER BY d.since, d.id) + coalesce(u.n, 0) <= ${WOKEN} AS has_place
    FROM due d LEFT JOIN under_way u ON u.lane = d.lane AND u.waited_long = d.waited_long
  ), woken AS (
    UPDATE batches b SET evidence_complete_at = $3, is_woken = true FROM placed p WHERE b.id = p.id AND p.has_place
    RETURNING b.id, b.generation, p.name
  ), struck AS (
    DELETE FROM batch_wakes WHERE id IN (SELECT o.id FROM owed o LEFT JOIN placed p ON p.id = o.batch_id WHERE coalesce(p.has_place, true))
  )
  SELECT (SELECT coalesce(jsonb_agg(to_jsonb(woken)), '[]') FROM woken) AS woken,
    (SELECT count(*)::int FROM placed WHERE NOT has_place) AS left`;

interface Woken {
  readonly id: BatchId;
  readonly generation: number;
  readonly name: WakeName;
}

/**
 * Owes the next of the due batches their wake, those that wait longest first. The rule of completeness is `armBatch`'s: both
 * run under the lock of log_progress, so that none is woken twice for its evidence; a wake counts as complete anew, and the
 * batch says what is true once it has looked. Key (batch): armed batches, and rows of batch_wakes, which are struck out.
 */
export async function wakeComplete(tx: Tx, { timestampCursor, anchorCursor }: Cursors, now: string): Promise<Wakes> {
  const { rows } = await tx.query<{ woken: Woken[]; left: number }>(WAKE, [
    timestampCursor.toString(),
    anchorCursor.toString(),
    now,
    LANES,
  ]);
  const { woken, left } = rows[0] ?? { woken: [], left: 0 };
  await enqueueMotion(
    tx,
    woken.map(({ id, generation, name }) => wakeOf(id, generation, name)),
    now,
  );
  return { woken: woken.length, left };
}

/**
 * Wakes what nobody else comes to wake: batches for which there was no place, those that are owed it by rows, and those whose
 * earliest PREFERRED deadline has passed while their timestamp was there already. Locks: log_progress, batches, batch_wakes.
 */
export async function wakeDue(db: Db, input: { readonly origin: string; readonly now: string }): Promise<Wakes> {
  const { rows: due } = await db.query(
    `(SELECT FROM batches b, log_progress l WHERE l.origin = $1 AND ${isComplete('l.timestamp_cursor', 'l.anchor_cursor', '$2')} LIMIT 1)
     UNION ALL (SELECT FROM batch_wakes LIMIT 1)`,
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

/**
 * Owes batches a wake in their turn, where they may be many. Whoever owes it in a statement of its own writes the same
 * rows. Key (batch): named twice, a batch is told once.
 */
export async function oweWakes(tx: Tx, batches: readonly BatchId[], name: WakeName, now: string): Promise<void> {
  await tx.query(
    `INSERT INTO batch_wakes (batch_id, lane, name, created_at) SELECT id, lane, $2, $3 FROM batches WHERE id = ANY ($1::uuid[]) AND state <> 'CLOSED'
     RETURNING pg_notify('proofline_wakes', '')`,
    [batches, name, now],
  );
}

/** How many wait for their wake. */
export async function countToWake(db: Db, input: { readonly origin: string; readonly now: string }): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `SELECT ((SELECT count(*) FROM batch_wakes)
       + (SELECT count(*) FROM batches b, log_progress l WHERE l.origin = $1 AND ${isComplete('l.timestamp_cursor', 'l.anchor_cursor', '$2')}))::int AS n`,
    [input.origin, input.now],
  );
  return rows[0]?.n ?? 0;
}

/** The batch has looked, or could not: its place is another's. */
export async function markLooked(db: Db, batch: BatchId): Promise<void> {
  await db.query('UPDATE batches SET is_woken = false WHERE id = $1 AND is_woken', [batch]);
}
