/** Who leaves the submission queue when: the order in which what waits is taken into batches. */
import type { BatchId, SubmissionId, TenantId } from '../domain/ids.ts';
import { CROWD, type Lane } from '../domain/lane.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import type { Tx } from './pool.ts';

/** Who was a crowd in a batch still is, until so long after the batch was formed. */
const CROWD_MS = 5_000;

// A loose index scan finds the heads of all (class, large or not, tenant), so that a backlog of a million rows costs no
// more than its tenants. A head's lane is told by what waits behind it and by the crowds of batches that are unsealed or
// young. Of the class and lane whose turn it is submissions are read in rounds, one of each tenant a round, and no more
// rounds than fill a batch: a recursive query runs as far as it is read. Places before the seal are shared between classes,
// those of large submissions between tenants: no flood takes each place that comes free. Within a batch each tenant's
// submissions stand where their proofs, summed up, put them: whoever asks for no more than an equal share is in it,
// however many submissions of others wait. So that those starve no more than they let starve, one of the heads
// above half such a share goes before all, by lot ($8): the age of a head would give it to the oldest backlog until that
// is gone. Those who join a batch of a given class and lane ($3, $4, $5) stand in that order without a lot: the next batch
// may begin with whoever was too large for the room left.
const TAKE = `
  WITH RECURSIVE heads AS (
    (SELECT anchor_policy, anchor_window, is_large, tenant_id, received_at, submission_id, proof_count FROM submission_queue
     ORDER BY anchor_policy, anchor_window, is_large, tenant_id, received_at, submission_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM heads h, LATERAL (
      SELECT q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id, q.proof_count FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id) > (h.anchor_policy, h.anchor_window, h.is_large, h.tenant_id)
      ORDER BY q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
  ), unsealed AS MATERIALIZED (
    SELECT anchor_policy, anchor_window, joinable_until, lane, crowd FROM batches WHERE state = 'FORMED'
  ), crowds AS MATERIALIZED (
    SELECT unnest(crowd) AS tenant_id FROM unsealed WHERE lane <> 'large'
    UNION SELECT unnest(crowd) FROM batches WHERE crowd <> '{}' AND formed_at > $9::timestamptz - interval '${CROWD_MS} ms' AND lane <> 'large'
  ), standing AS MATERIALIZED (
    SELECT h.*, CASE WHEN h.is_large THEN 'large'
      WHEN h.tenant_id IN (SELECT tenant_id FROM crowds) OR (
        SELECT sum(w.proof_count) FROM (
          SELECT q.proof_count FROM submission_queue q
          WHERE (q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id) <= (h.anchor_policy, h.anchor_window, h.is_large, h.tenant_id)
            AND (q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id)
              >= (h.anchor_policy, h.anchor_window, h.is_large, h.tenant_id, h.received_at, h.submission_id)
          ORDER BY q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id LIMIT $2) w) >= $2 THEN 'crowd'
      ELSE 'prompt' END AS lane
    FROM heads h
  ), turn AS MATERIALIZED (
    SELECT s.anchor_policy, s.anchor_window, s.lane FROM standing s
    WHERE CASE WHEN $3::anchor_policy IS NOT NULL THEN s.anchor_policy = $3 AND s.anchor_window = $4 AND s.lane = $5
      ELSE s.lane = ANY ($6::text[]) AND NOT EXISTS (
        SELECT FROM unsealed u WHERE u.joinable_until > $7 AND u.lane = s.lane AND u.anchor_policy = s.anchor_policy AND u.anchor_window = s.anchor_window) END
    ORDER BY (SELECT count(*) FROM unsealed u WHERE u.lane = s.lane AND CASE WHEN s.lane = 'large' THEN s.tenant_id = ANY (u.crowd)
        ELSE u.anchor_policy = s.anchor_policy AND u.anchor_window = s.anchor_window END), s.received_at LIMIT 1
  ), candidates AS MATERIALIZED (
    SELECT s.* FROM turn t JOIN standing s ON s.lane = t.lane
      AND (t.lane = 'large' OR (s.anchor_policy = t.anchor_policy AND s.anchor_window = t.anchor_window))
  ), leader AS MATERIALIZED (
    SELECT c.submission_id FROM candidates c WHERE $3 IS NULL
    ORDER BY CASE WHEN c.is_large THEN (SELECT count(*) FROM unsealed u WHERE u.lane = 'large' AND c.tenant_id = ANY (u.crowd))
      ELSE (2 * c.proof_count * count(*) OVER () <= $1)::int END, md5(c.tenant_id || $8::text) LIMIT 1
  ), asking AS (
    SELECT anchor_policy, anchor_window, is_large, tenant_id, received_at, submission_id, proof_count, proof_count::bigint AS asked FROM candidates WHERE NOT is_large
    UNION ALL
    SELECT n.*, a.asked + n.proof_count
    FROM asking a, LATERAL (
      SELECT q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id, q.proof_count FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id)
        > (a.anchor_policy, a.anchor_window, a.is_large, a.tenant_id, a.received_at, a.submission_id)
      ORDER BY q.anchor_policy, q.anchor_window, q.is_large, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
    WHERE a.asked < $1 AND (n.anchor_policy, n.anchor_window, n.is_large, n.tenant_id) = (a.anchor_policy, a.anchor_window, a.is_large, a.tenant_id)
  ), waiting AS MATERIALIZED (
    SELECT * FROM asking LIMIT $1 + (SELECT count(*) FROM heads)
  ), placed AS (
    SELECT w.submission_id, sum(w.proof_count) OVER (
      ORDER BY l.submission_id NULLS LAST, w.asked, w.received_at, w.submission_id ROWS UNBOUNDED PRECEDING) AS running
    FROM waiting w LEFT JOIN leader l USING (submission_id)
  )
  DELETE FROM submission_queue WHERE submission_id = ANY (ARRAY(
    SELECT submission_id FROM placed WHERE running <= $1 UNION ALL SELECT l.submission_id FROM turn t, leader l WHERE t.lane = 'large'))
  RETURNING submission_id, tenant_id, proof_count, anchor_policy, anchor_window, (SELECT lane FROM turn) AS lane`;

/** A submission that left the queue. */
export interface Taken {
  readonly submission_id: SubmissionId;
  readonly tenant_id: TenantId;
  readonly proof_count: number;
  readonly anchor_policy: AnchorPolicy;
  readonly anchor_window: AnchorWindow;
  /** The same of all that are taken at a time. */
  readonly lane: Lane;
}

/** One at a time takes from the queue. Until the transaction ends; false if another does. */
export async function tryTakeTurn(tx: Tx): Promise<boolean> {
  const { rows } = await tx.query("SELECT pg_try_advisory_xact_lock(hashtext('proofline.form_batch')) AS held");
  return rows[0].held;
}

/** What to take: for a new batch, or of the class and lane of a batch that is open to joiners. Instants are RFC 3339. */
export type Taking = {
  readonly room: number;
  readonly now: string;
} & (
  | {
      readonly for: 'new-batch';
      /** The new batch: draws the lot between submissions too large for a share. */
      readonly batch: BatchId;
      /** A class and lane that has a batch to join until after this is left to that batch. */
      readonly notJoinableAt: string;
      /** The lanes that have a place before the seal. */
      readonly lanes: readonly Lane[];
    }
  | {
      readonly for: 'joinable-batch';
      readonly anchorPolicy: AnchorPolicy;
      readonly anchorWindow: AnchorWindow;
      readonly lane: Lane;
    }
);

/** Takes submissions of one class and lane, up to `room` proofs, or one large submission. The caller holds the turn. */
export async function takeSubmissions(tx: Tx, taking: Taking): Promise<readonly Taken[]> {
  const { room, now } = taking;
  const { rows } = await tx.query<Taken>(
    TAKE,
    taking.for === 'new-batch'
      ? [room, CROWD, null, null, null, taking.lanes, taking.notJoinableAt, taking.batch, now]
      : [room, CROWD, taking.anchorPolicy, taking.anchorWindow, taking.lane, null, null, null, now],
  );
  return rows;
}

/** Their proofs. */
export function countProofs(taken: readonly Taken[]): number {
  return taken.reduce((sum, row) => sum + row.proof_count, 0);
}
