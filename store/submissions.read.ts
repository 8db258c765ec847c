/** Reads of submissions, each within the tenant's scope. */
import { toHex } from '../domain/bytes.ts';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow, ProofState } from '../domain/states.ts';
import type { Tx } from './pool.ts';

export interface RefusedItem {
  readonly index: number;
  readonly code: string;
  readonly detail: string;
}

export interface SubmissionRow {
  readonly id: SubmissionId;
  readonly reference: string | null;
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly anchorDeadline: string | null;
  readonly receivedAt: string;
  readonly refused: readonly RefusedItem[];
  readonly batch: BatchId | null;
  /** At most 10,000, by place in the request. */
  readonly proofs: readonly { readonly id: ProofId; readonly index: number; readonly state: ProofState }[];
}

/** The submission with its proofs, if it is of the tenant in scope. */
export async function readSubmission(tx: Tx, id: SubmissionId): Promise<SubmissionRow | undefined> {
  const { rows } = await tx.query<Omit<SubmissionRow, 'proofs' | 'refused'> & { refused: RefusedItem[] | null }>(
    `SELECT id, reference, anchor_policy AS "anchorPolicy", anchor_window AS "anchorWindow", anchor_deadline AS "anchorDeadline",
       received_at AS "receivedAt", refused, batch_id AS batch FROM submissions WHERE id = $1`,
    [id],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  const proofs = await tx.query<{ id: ProofId; index: number; state: ProofState }>(
    'SELECT id, ordinal AS index, state FROM proofs WHERE submission_id = $1 ORDER BY ordinal',
    [id],
  );
  return { ...row, refused: row.refused ?? [], proofs: proofs.rows };
}

/** What was accepted under an idempotency key: the second statement of a duplicate, after the winner's commit. */
export async function readByIdempotencyKey(
  tx: Tx,
  tenant: TenantId,
  route: string,
  key: string,
): Promise<{ readonly id: SubmissionId; readonly bodyHash: string; readonly firstProof: ProofId } | undefined> {
  const { rows } = await tx.query<{ id: SubmissionId; body_hash: Uint8Array; first_proof: ProofId }>(
    `SELECT s.id, s.body_hash, (SELECT p.id FROM proofs p WHERE p.submission_id = s.id ORDER BY p.ordinal LIMIT 1) AS first_proof
     FROM submissions s WHERE s.tenant_id = $1 AND s.idempotency_route = $2 AND s.idempotency_key = $3`,
    [tenant, route, key],
  );
  const row = rows[0];
  return row === undefined ? undefined : { id: row.id, bodyHash: toHex(row.body_hash), firstProof: row.first_proof };
}

/** Of these submissions of the tenant in scope, those whose proofs have all reached an end (failed ones included). */
export async function finalSubmissions(tx: Tx, ids: readonly SubmissionId[]): Promise<SubmissionId[]> {
  const { rows } = await tx.query<{ id: SubmissionId }>(
    `SELECT s.id FROM submissions s WHERE s.id = ANY ($1::uuid[]) AND NOT EXISTS (
       SELECT FROM proofs p WHERE p.submission_id = s.id
         AND p.state IN ('RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE'))`,
    [ids],
  );
  return rows.map(({ id }) => id);
}
