/**
 * Batches that were owed a wake and did not move: their signal was lost with the run that got it (a reset, a Temporal
 * restored from an older copy). Their workflow runs, so nobody starts it again; here it is told once more.
 */
import type { BatchId } from '../domain/ids.ts';
import { wakeOf } from './batches.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction } from './pool.ts';

/** Batches woken in one transaction. */
const LIMIT = 200;

/**
 * Wakes sealed batches whose evidence has been complete since `before` or longer while they did not certify; of these,
 * batches of which somebody waits for a licence are left in peace, since they look again by themselves. And, complete or
 * not, those with certificates drafted before it that nobody signed, or with proofs released before it (within a week)
 * that nobody queued. Key (batch): one wake per period, since a wake counts as complete anew; the batch says what is true
 * once it has looked. Returns how many it woke.
 */
export function wakeStalled(db: Db, input: { readonly before: string; readonly now: string }): Promise<number> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ id: BatchId; generation: number }>(
      `WITH owed AS MATERIALIZED (
         SELECT c.batch_id FROM certificates c WHERE c.signature IS NULL AND c.drafted_at < $1
         UNION
         SELECT s.batch_id FROM proofs p JOIN seals s ON s.proof_id = p.id
         WHERE p.released_at >= $1::timestamptz - interval '7 days' AND p.released_at < $1 AND p.state = 'TIMESTAMPED'
           AND NOT EXISTS (SELECT FROM licence_queue q WHERE q.proof_id = p.id) AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)
       ), stalled AS (
         SELECT b.id FROM batches b
         WHERE b.state = 'SEALED' AND (
           (b.evidence_complete_at < $1 AND NOT EXISTS (SELECT FROM licence_queue q WHERE q.batch_id = b.id))
           OR ((b.evidence_complete_at IS NULL OR b.evidence_complete_at < $1) AND b.id IN (SELECT batch_id FROM owed)))
         ORDER BY b.formed_at LIMIT ${LIMIT} FOR UPDATE SKIP LOCKED)
       UPDATE batches b SET evidence_complete_at = $2 FROM stalled s WHERE b.id = s.id RETURNING b.id, b.generation`,
      [input.before, input.now],
    );
    await enqueueMotion(
      tx,
      rows.map(({ id, generation }) => wakeOf(id, generation, 'evidenceComplete')),
      input.now,
    );
    return rows.length;
  });
}
