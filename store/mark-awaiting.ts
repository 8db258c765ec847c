import type { BatchId, ProofId, TenantId } from '../domain/ids.ts';
import type { Ready } from './lock-queued.ts';
import type { Tx } from './pool.ts';
import { appendTimeline, describeMembers } from './timeline.ts';

/**
 * Why a proof waits: its tenant has no running period, or none with room on its unit's path, or nobody may consume until
 * a newer revocation list is there.
 */
export type WaitingReason = 'no-licence' | 'quota-exhausted' | 'revocation-list-overdue';

/** Moves proofs to AWAITING_LICENSE, those that are there already staying as they are. Locks: proofs by id are held. */
export async function markAwaiting(
  tx: Tx,
  tenant: TenantId,
  proofs: readonly Ready[],
  reason: WaitingReason,
  at: string,
): Promise<void> {
  if (proofs.length === 0) return;
  await tx.query('UPDATE licence_queue SET awaiting = true WHERE ctid = ANY ($1::tid[]) AND NOT awaiting', [
    proofs.map((p) => p.row),
  ]);
  const moved = proofs.filter((p) => p.state !== 'AWAITING_LICENSE');
  if (moved.length === 0) return;
  await tx.query("UPDATE proofs SET state = 'AWAITING_LICENSE' WHERE id = ANY ($1::uuid[])", [moved.map((p) => p.id)]);
  const movedIds = new Set(moved.map((p) => p.id));
  const { rows: members } = await tx.query<{ batch_id: BatchId; proof_id: ProofId }>(
    'SELECT batch_id, proof_id FROM seals WHERE batch_id = ANY ($1::uuid[]) AND tenant_id = $2',
    [[...new Set(moved.map((p) => p.batchId))], tenant],
  );
  await appendTimeline(
    tx,
    [...Map.groupBy(moved, (p) => p.batchId)].map(([batchId, group]) => {
      const stayed = members.filter((m) => m.batch_id === batchId && !movedIds.has(m.proof_id)).map((m) => m.proof_id);
      return {
        tenantId: tenant,
        scope: { batchId },
        state: 'AWAITING_LICENSE' as const,
        at,
        detail: { reason },
        ...describeMembers(
          group.map((p) => p.id),
          stayed,
        ),
      };
    }),
  );
}
