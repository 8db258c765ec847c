/**
 * Retried proofs on their way to a batch of their own. A proof that is not sealed leaves its batch at once; a sealed one
 * only if that batch is closed, since an open one brings it to its end. The leaf stays with the batch that queued it.
 */
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import type { Tx } from './pool.ts';

/**
 * Queues proofs, whose rows and batches are locked, to join a new batch at the stage that their state names. A statement that was
 * frozen and never sealed is dropped, so that the new batch freezes its own. Key (proof).
 */
export async function queueRetries(tx: Tx, proofs: readonly ProofId[], now: string): Promise<void> {
  if (proofs.length === 0) return;
  // What the batch says from here on, it no longer says of them.
  await tx.query(
    `INSERT INTO former_batches (proof_id, batch_id, tenant_id, last_timeline_id)
     SELECT p.id, f.id, p.tenant_id, coalesce((SELECT max(t.id) FROM timeline t WHERE t.batch_id = f.id), 0)
     FROM proofs p JOIN submissions u ON u.id = p.submission_id LEFT JOIN seals s ON s.proof_id = p.id,
       LATERAL (SELECT coalesce(s.batch_id, p.batch_id, u.batch_id) AS id) f
     WHERE p.id = ANY ($1::uuid[]) AND f.id IS NOT NULL
     ON CONFLICT (proof_id, batch_id) DO UPDATE SET last_timeline_id = excluded.last_timeline_id`,
    [proofs],
  );
  await tx.query('DELETE FROM seals WHERE proof_id = ANY ($1::uuid[]) AND signature IS NULL', [proofs]);
  await tx.query(
    `INSERT INTO retry_queue (proof_id, tenant_id, anchor_policy, anchor_window, queued_at)
     SELECT p.id, p.tenant_id, p.anchor_policy, s.anchor_window, $2 FROM proofs p JOIN submissions s ON s.id = p.submission_id
     WHERE p.id = ANY ($1::uuid[]) ON CONFLICT (proof_id) DO NOTHING`,
    [proofs, now],
  );
  await tx.query("SELECT pg_notify('proofline_intake', '')");
}

/** Retried proofs of one class that a batch takes. */
export interface TakenRetries {
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly proofs: readonly ProofId[];
  readonly tenants: readonly TenantId[];
  readonly submissions: readonly SubmissionId[];
}

/**
 * Takes at most `limit` of the class that waits longest; undefined if nobody waits. A proof whose leaf is not in the
 * tree yet waits a moment more. Locks: proofs by id, then their queue rows, as a cancellation does.
 */
export async function takeRetries(tx: Tx, limit: number): Promise<TakenRetries | undefined> {
  const { rows: waiting } = await tx.query<{
    proof_id: ProofId;
    anchor_policy: AnchorPolicy;
    anchor_window: AnchorWindow;
  }>(
    `SELECT q.proof_id, q.anchor_policy, q.anchor_window FROM retry_queue q
     JOIN (SELECT anchor_policy, anchor_window FROM retry_queue ORDER BY queued_at, proof_id LIMIT 1) c USING (anchor_policy, anchor_window)
     WHERE NOT EXISTS (SELECT FROM leaf_queue l WHERE l.proof_id = q.proof_id) ORDER BY q.queued_at, q.proof_id LIMIT $1`,
    [limit],
  );
  const first = waiting[0];
  if (first === undefined) return undefined;
  const ids = waiting.map((row) => row.proof_id);
  await tx.query('SELECT FROM proofs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE', [ids]);
  // Whoever was cancelled has left the queue; whoever failed again in its old batch leaves it here.
  const { rows: taken } = await tx.query<{
    id: ProofId;
    tenant_id: TenantId;
    submission_id: SubmissionId;
    failed: boolean;
  }>(
    `DELETE FROM retry_queue q USING proofs p WHERE q.proof_id = ANY ($1::uuid[]) AND p.id = q.proof_id
     RETURNING p.id, p.tenant_id, p.submission_id, p.state = 'FAILED' AS failed`,
    [ids],
  );
  const going = taken.filter((row) => !row.failed);
  if (going.length === 0) return undefined;
  return {
    anchorPolicy: first.anchor_policy,
    anchorWindow: first.anchor_window,
    proofs: going.map((row) => row.id),
    tenants: going.map((row) => row.tenant_id),
    submissions: going.map((row) => row.submission_id),
  };
}

/** Makes proofs members of a new batch, whose row exists. */
export async function joinBatch(tx: Tx, batch: BatchId, proofs: readonly ProofId[]): Promise<void> {
  await tx.query(
    'UPDATE seals s SET batch_id = $1, ordinal = u.n - 1 FROM unnest($2::uuid[]) WITH ORDINALITY AS u (id, n) WHERE s.proof_id = u.id',
    [batch, proofs],
  );
  await tx.query('UPDATE proofs SET batch_id = $1 WHERE id = ANY ($2::uuid[])', [batch, proofs]);
  await tx.query(
    'UPDATE batches SET max_leaf_index = (SELECT max(index) FROM leaves WHERE proof_id = ANY ($2::uuid[])) WHERE id = $1',
    [batch, proofs],
  );
}
