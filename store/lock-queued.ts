import type { DigestAlgorithm } from '../domain/digest.ts';
import type { BatchId, OrgUnitId, ProofId } from '../domain/ids.ts';
import type { AnchorPolicy, ProofState } from '../domain/states.ts';
import { type Coverage, readCoverage } from './draft-certificates.ts';
import type { Tx } from './pool.ts';

/** A row of the licence queue. */
export interface Queued {
  readonly proof_id: ProofId;
  readonly org_unit_id: OrgUnitId;
}

/** A proof of the queue whose row is locked and whose evidence is complete. */
export interface Ready {
  readonly id: ProofId;
  readonly unit: OrgUnitId;
  readonly batchId: BatchId;
  readonly state: ProofState;
  readonly anchorPolicy: AnchorPolicy;
  readonly alg: DigestAlgorithm;
  readonly digest: Uint8Array;
  readonly coverage: Coverage;
}

/**
 * Locks the proofs, which decides every race with a cancellation, a refusal or a failure, and keeps the order given.
 * Those that are past being certified leave the queue without a unit.
 */
export async function lockReady(
  tx: Tx,
  queued: readonly Queued[],
  origin: string,
  now: string,
): Promise<{ ready: readonly Ready[]; unready: readonly ProofId[] }> {
  const ids = queued.map((row) => row.proof_id);
  const { rows: proofs } = await tx.query<{
    id: ProofId;
    state: ProofState;
    anchor_policy: AnchorPolicy;
    is_due: boolean;
    is_released: boolean;
    digest_alg: DigestAlgorithm;
    digest: Uint8Array;
  }>(
    `SELECT id, state, anchor_policy, coalesce(anchor_deadline <= $2, false) AS is_due, released_at IS NOT NULL AS is_released, digest_alg, digest
     FROM proofs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`,
    [ids, now],
  );
  const { rows: batches } = await tx.query<{ proof_id: ProofId; batch_id: BatchId }>(
    'SELECT proof_id, batch_id FROM licence_queue WHERE proof_id = ANY ($1::uuid[])',
    [ids],
  );
  const byId = new Map(proofs.map((proof) => [proof.id, proof]));
  const batchOf = new Map(batches.map((row) => [row.proof_id, row.batch_id]));
  const coverageOf = await readCoverage(tx, origin, ids);
  const ready: Ready[] = [];
  const unready: ProofId[] = [];
  const gone: ProofId[] = [];
  for (const { proof_id: id, org_unit_id: unit } of queued) {
    const proof = byId.get(id);
    const batchId = batchOf.get(id);
    const coverage = coverageOf.get(id);
    if (batchId === undefined) continue;
    if (proof === undefined || !MAY_BE_SERVED.has(proof.state)) gone.push(id);
    else if (coverage === undefined || !isComplete(proof, coverage)) unready.push(id);
    else {
      const { state, anchor_policy: anchorPolicy, digest_alg: alg, digest } = proof;
      ready.push({ id, unit, batchId, state, anchorPolicy, alg, digest, coverage });
    }
  }
  if (gone.length > 0) await tx.query('DELETE FROM licence_queue WHERE proof_id = ANY ($1::uuid[])', [gone]);
  return { ready, unready };
}

const MAY_BE_SERVED: ReadonlySet<ProofState> = new Set(['TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE']);

/**
 * Unless an operator released it, REQUIRED is never certified without an anchor and PREFERRED not before its deadline;
 * ANCHORED only as what it says.
 */
function isComplete(
  proof: {
    readonly state: ProofState;
    readonly anchor_policy: AnchorPolicy;
    readonly is_due: boolean;
    readonly is_released: boolean;
  },
  coverage: Coverage,
): boolean {
  if (coverage.anchor !== undefined) return true;
  if (proof.state === 'ANCHORED') return false;
  if (proof.is_released) return true;
  if (proof.anchor_policy === 'REQUIRED') return false;
  // Whoever waits for a licence was complete when it began to, whatever another machine's clock says of the deadline.
  return proof.anchor_policy === 'NONE' || proof.is_due || proof.state === 'AWAITING_LICENSE';
}
