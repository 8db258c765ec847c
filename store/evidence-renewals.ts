/** Requests to renew the evidence (RFC 4998 §5.2) that something other than the schedule makes, and how they ended. */
import { workflowIds } from '../domain/ids.ts';
import { enqueueMotion } from './outbox.ts';
import type { Queryable, Tx } from './pool.ts';

/**
 * Why old tokens are to be renewed before their time:
 * a key of ours that seals, certifies or signs checkpoints is compromised (`subject` `kid@version`): every token older than the
 * request gets a further one, so that what was sealed before stays shown to be older;
 * an authority is no longer trusted (`subject` its name): others stamp its tokens;
 * a hash function weakens (`subject` e.g. `SHA-256`): trees of a stronger one over data and evidence.
 */
export interface RenewalReason {
  readonly reason: 'KEY_COMPROMISED' | 'TSA_WEAK' | 'HASH_WEAK';
  readonly subject: string;
}

export interface RenewalRequest extends RenewalReason {
  readonly id: bigint;
  /** RFC 3339, µs. */
  readonly requestedAt: string;
}

/**
 * Asks for a renewal in the transaction that has its cause (a key version marked compromised): the row, and the start of
 * `renewEvidence` beside it. Key: one open request for each reason and subject; a second one is the first. `at`: RFC 3339, µs.
 */
export async function requestEvidenceRenewal(tx: Tx, { reason, subject }: RenewalReason, at: string): Promise<void> {
  const { rows } = await tx.query<{ id: bigint }>(
    `INSERT INTO evidence_renewals (reason, subject, requested_at) VALUES ($1, $2, $3)
     ON CONFLICT (reason, subject) WHERE completed_at IS NULL DO NOTHING RETURNING id`,
    [reason, subject, at],
  );
  const [row] = rows;
  if (row === undefined) return;
  const motion = {
    kind: 'start',
    workflowId: workflowIds.renewEvidence(row.id),
    name: 'renewEvidence',
    payload: { request: row.id.toString() },
  } as const;
  await enqueueMotion(tx, [motion], at);
}

/** An open request; undefined once it is completed. */
export async function readRenewalRequest(db: Queryable, id: bigint): Promise<RenewalRequest | undefined> {
  const { rows } = await db.query<RenewalReason & { id: bigint; requested_at: string }>(
    'SELECT id, reason, subject, requested_at FROM evidence_renewals WHERE id = $1 AND completed_at IS NULL',
    [id],
  );
  const [row] = rows;
  return row && { id: row.id, reason: row.reason, subject: row.subject, requestedAt: row.requested_at };
}

/** Requests made before `before` that are not completed, oldest first. */
export async function readOpenRenewals(db: Queryable, before: string, limit: number): Promise<readonly bigint[]> {
  const { rows } = await db.query<{ id: bigint }>(
    'SELECT id FROM evidence_renewals WHERE completed_at IS NULL AND requested_at < $1 ORDER BY id LIMIT $2',
    [before, limit],
  );
  return rows.map(({ id }) => id);
}

/** Closes a request with the number of tokens that it renewed. Repeatable. */
export async function completeRenewal(tx: Queryable, id: bigint, renewed: number, at: string): Promise<void> {
  await tx.query(
    'UPDATE evidence_renewals SET completed_at = $3, renewed = $2 WHERE id = $1 AND completed_at IS NULL',
    [id, renewed, at],
  );
}
