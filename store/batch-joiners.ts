/** Proofs that join a batch while it is sealed, until its time is over or it is full. */
import type { BatchId, SubmissionId } from '../domain/ids.ts';
import { type Lane, LONE_SUBMISSION } from '../domain/lane.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { BATCH_CAPACITY } from './form-batch.ts';
import type { Db, Tx } from './pool.ts';
import { countProofs, takeSubmissions, tryTakeTurn } from './take-submissions.ts';

/** Whether somebody waits who may join the batch: `shut` once its time is over or it is full. A cheap look before `takeJoiners`. */
export async function lookForJoiners(
  db: Db,
  { batch, now }: { readonly batch: BatchId; readonly now: string },
): Promise<'some' | 'none' | 'shut'> {
  const { rows } = await db.query<{ waits: boolean }>(
    `SELECT EXISTS (SELECT FROM submission_queue q WHERE q.anchor_policy = b.anchor_policy AND q.anchor_window = b.anchor_window AND NOT q.is_large) AS waits
     FROM batches b WHERE b.id = $1 AND b.state = 'FORMED' AND b.joinable_until > $2`,
    [batch, now],
  );
  if (rows[0] === undefined) return 'shut';
  return rows[0].waits ? 'some' : 'none';
}

/**
 * Adds to a joinable batch what waits of its class and lane, up to its capacity. Returns the submissions that joined. Locks: the
 * advisory lock, queue rows, the batch row. Key (submission): it leaves the queue once.
 */
export async function takeJoiners(
  tx: Tx,
  { batch, now }: { readonly batch: BatchId; readonly now: string },
): Promise<readonly SubmissionId[]> {
  if (!(await tryTakeTurn(tx))) return [];
  const { rows: open } = await tx.query<{
    anchorPolicy: AnchorPolicy;
    anchorWindow: AnchorWindow;
    lane: Lane;
    room: number;
  }>(
    `SELECT anchor_policy AS "anchorPolicy", anchor_window AS "anchorWindow", lane, $3::int - proof_count AS room FROM batches
     WHERE id = $1 AND state = 'FORMED' AND joinable_until > $2 FOR UPDATE`,
    [batch, now, BATCH_CAPACITY],
  );
  if (open[0] === undefined) return [];
  const taken = await takeSubmissions(tx, { for: 'joinable-batch', ...open[0], now });
  const submissions = taken.map((row) => row.submission_id);
  // Shut when it is full, or has too little room for the next: whoever waits behind it is the relay's again.
  const { rows: kept } = await tx.query<{ is_open: boolean }>(
    `WITH joined AS (UPDATE submissions SET batch_id = $1 WHERE id = ANY ($4::uuid[]) RETURNING anchor_deadline)
     UPDATE batches b SET proof_count = proof_count + $2, anchor_deadline = least(b.anchor_deadline, j.deadline),
       joinable_until = CASE WHEN proof_count + $2 < $3 AND ($2 > 0 OR $3 - proof_count >= $5) THEN joinable_until END
     FROM (SELECT min(anchor_deadline) AS deadline FROM joined) j WHERE b.id = $1 RETURNING joinable_until IS NOT NULL AS is_open`,
    [batch, countProofs(taken), BATCH_CAPACITY, submissions, LONE_SUBMISSION],
  );
  if (kept[0]?.is_open !== true) await tx.query("SELECT pg_notify('proofline_intake', '')");
  return submissions;
}

/** Nobody joins the batch from here on. Key (batch). */
export async function shutBatch(db: Db, batch: BatchId): Promise<void> {
  await db.query('UPDATE batches SET joinable_until = NULL WHERE id = $1 AND joinable_until IS NOT NULL', [batch]);
}
