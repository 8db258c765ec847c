/** Who leaves the submission queue when: the order in which what waits is taken into batches. */
import type { BatchId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { LONE_SUBMISSION } from './batches.ts';
import type { Tx } from './pool.ts';

// A loose index scan finds the heads of all (class, tenant), so that a backlog of a million rows costs no more than its
// tenants. Of the class whose turn it is submissions are read in rounds, one of each tenant a round, and no more rounds
// than fill a batch: a recursive query runs as far as it is read. Places before the seal are shared between classes,
// those of large submissions between tenants: no flood takes each place that comes free. Within a batch each tenant's
// submissions stand where their proofs, summed up, put them: whoever asks for no more than an equal share is in it,
// however many large submissions of others wait. So that those starve no more than they let starve, one of the heads
// above half such a share goes before all, by lot ($7): the age of a head would give it to the oldest backlog until that
// is gone. Those who join a batch of a given class ($3, $4) stand in that order without a lot: the next batch may begin
// with whoever was too large for the room left.
const TAKE = `
  WITH RECURSIVE heads AS (
    (SELECT anchor_policy, anchor_window, tenant_id, received_at, submission_id, proof_count FROM submission_queue
     ORDER BY anchor_policy, anchor_window, tenant_id, received_at, submission_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM heads h, LATERAL (
      SELECT q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id, q.proof_count FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.tenant_id) > (h.anchor_policy, h.anchor_window, h.tenant_id)
      ORDER BY q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
  ), unsealed AS MATERIALIZED (
    SELECT b.anchor_policy, b.anchor_window, b.joinable_until, CASE WHEN m.proof_count > $2 THEN m.tenant_id END AS lone_tenant
    FROM batches b LEFT JOIN LATERAL (SELECT s.tenant_id, s.proof_count FROM submissions s WHERE s.batch_id = b.id LIMIT 1) m ON true
    WHERE b.state = 'FORMED'
  ), turn AS MATERIALIZED (
    SELECT anchor_policy, anchor_window, proof_count > $2 AND $6 AS alone FROM heads h
    WHERE CASE WHEN $3::anchor_policy IS NOT NULL THEN h.anchor_policy = $3 AND h.anchor_window = $4
      WHEN h.proof_count > $2 THEN $6
      ELSE NOT EXISTS (SELECT FROM unsealed u WHERE u.joinable_until > $5 AND u.anchor_policy = h.anchor_policy AND u.anchor_window = h.anchor_window) END
    ORDER BY CASE WHEN $3 IS NULL THEN (
        SELECT count(*) FROM unsealed u WHERE CASE WHEN h.proof_count > $2 THEN u.lone_tenant = h.tenant_id
          ELSE u.lone_tenant IS NULL AND u.anchor_policy = h.anchor_policy AND u.anchor_window = h.anchor_window END) END,
      received_at LIMIT 1
  ), leader AS MATERIALIZED (
    SELECT h.submission_id FROM turn t, heads h
    WHERE $3 IS NULL AND CASE WHEN t.alone THEN h.proof_count > $2
      ELSE h.proof_count <= $2 AND h.anchor_policy = t.anchor_policy AND h.anchor_window = t.anchor_window END
    ORDER BY CASE WHEN t.alone THEN (SELECT count(*) FROM unsealed u WHERE u.lone_tenant = h.tenant_id)
      ELSE (2 * h.proof_count * count(*) OVER () <= $1)::int END, md5(h.tenant_id || $7::text) LIMIT 1
  ), asking AS (
    SELECT h.tenant_id, h.received_at, h.submission_id, h.proof_count, CASE WHEN h.proof_count <= $2 THEN h.proof_count ELSE 0 END::bigint AS asked
    FROM turn t JOIN heads h USING (anchor_policy, anchor_window) WHERE NOT t.alone
    UNION ALL
    SELECT n.tenant_id, n.received_at, n.submission_id, n.proof_count, a.asked + n.proof_count
    FROM asking a, turn t, LATERAL (
      SELECT q.* FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id)
        > (t.anchor_policy, t.anchor_window, a.tenant_id, a.received_at, a.submission_id) AND q.proof_count <= $2
      ORDER BY q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
    WHERE a.asked < $1 AND n.tenant_id = a.tenant_id AND n.anchor_policy = t.anchor_policy AND n.anchor_window = t.anchor_window
  ), waiting AS MATERIALIZED (
    SELECT * FROM asking LIMIT $1 + (SELECT count(*) FROM heads)
  ), placed AS (
    SELECT w.submission_id, sum(w.proof_count) OVER (
      ORDER BY l.submission_id NULLS LAST, w.asked, w.received_at, w.submission_id ROWS UNBOUNDED PRECEDING) AS running
    FROM waiting w LEFT JOIN leader l USING (submission_id) WHERE w.proof_count <= $2
  )
  DELETE FROM submission_queue WHERE submission_id = ANY (ARRAY(
    SELECT submission_id FROM placed WHERE running <= $1 UNION ALL SELECT l.submission_id FROM turn, leader l WHERE alone))
  RETURNING submission_id, tenant_id, proof_count, anchor_policy, anchor_window`;

/** A submission that left the queue. */
export interface Taken {
  readonly submission_id: SubmissionId;
  readonly tenant_id: TenantId;
  readonly proof_count: number;
  readonly anchor_policy: AnchorPolicy;
  readonly anchor_window: AnchorWindow;
}

/** One at a time takes from the queue. Until the transaction ends; false if another does. */
export async function tryTakeTurn(tx: Tx): Promise<boolean> {
  const { rows } = await tx.query("SELECT pg_try_advisory_xact_lock(hashtext('proofline.form_batch')) AS held");
  return rows[0].held;
}

/** What to take: for a new batch, or of the class of a batch that is open to joiners. Instants are RFC 3339. */
export type Taking =
  | {
      readonly for: 'new-batch';
      readonly room: number;
      /** The new batch: draws the lot between submissions too large for a share. */
      readonly batch: BatchId;
      /** A class that has a batch to join until after this is left to that batch. */
      readonly notJoinableAt: string;
      readonly mayTakeLarge: boolean;
    }
  | {
      readonly for: 'joinable-batch';
      readonly room: number;
      readonly anchorPolicy: AnchorPolicy;
      readonly anchorWindow: AnchorWindow;
    };

/** Takes submissions of one class, up to `room` proofs, or one large submission. The caller holds the turn. */
export async function takeSubmissions(tx: Tx, taking: Taking): Promise<readonly Taken[]> {
  const { rows } = await tx.query<Taken>(
    TAKE,
    taking.for === 'new-batch'
      ? [taking.room, LONE_SUBMISSION, null, null, taking.notJoinableAt, taking.mayTakeLarge, taking.batch]
      : [taking.room, LONE_SUBMISSION, taking.anchorPolicy, taking.anchorWindow, null, false, null],
  );
  return rows;
}

/** Their proofs. */
export function countProofs(taken: readonly Taken[]): number {
  return taken.reduce((sum, row) => sum + row.proof_count, 0);
}
