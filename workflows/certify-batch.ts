import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { CertificateActivities } from '../activities/certificates/certify-proofs.ts';
import type { SealingActivities } from '../activities/sealing/seal-batch.ts';
import { activity } from './activity.ts';
import { commandsApplied, evidenceComplete, licencesGranted, searchAttributes } from './messages.ts';
import { createPersistence } from './persist.ts';
import { LICENCE_RECHECK_MS } from './policies.ts';

export interface CertifyBatchInput {
  readonly batchId: string;
  readonly generation: number;
  readonly proofCount: number;
  /** Set when a run goes on after continue-as-new. */
  readonly sealed?: boolean;
}

/**
 * Carries one batch: seal, wait until the evidence that the policy asks for is complete, certify; proofs without a
 * licence keep it open until they are served. Every step skips what Postgres shows done, so that a run may be
 * started again at any point.
 */
export async function certifyBatch(input: CertifyBatchInput): Promise<void> {
  let woken = false;
  const wake = () => {
    woken = true;
  };
  setHandler(evidenceComplete, wake);
  setHandler(licencesGranted, wake);
  // Support verbs are applied in SQL by the relay, whether Temporal is there or not; the batch only looks again.
  setHandler(commandsApplied, wake);
  const { persist } = createPersistence();
  const { batchId } = input;
  const size = proofsInWords(input.proofCount);
  const sealBatch = activity<SealingActivities['sealBatch']>('sealBatch', size);
  const certifyProofs = activity<CertificateActivities['certifyProofs']>('certifyProofs', size);

  if (input.sealed !== true) {
    setCurrentDetails(`Sealing ${size}.`);
    const { failed, complete } = await persist('SIGNER', 'sealBatch', () => sealBatch({ batchId }));
    woken ||= complete;
    upsertSearchAttributes([{ key: searchAttributes.batchStage, value: 'EVIDENCE' }]);
    setCurrentDetails(
      `Sealed${failed > 0 ? `, ${failed} refused` : ''}. Waiting for the timestamp and, if the policy asks for it, the anchor. Proofs are cancelled over the API, not here.`,
    );
  }

  for (let waitsForLicence = false; ; ) {
    await (waitsForLicence ? condition(() => woken, LICENCE_RECHECK_MS) : condition(() => woken));
    woken = false;
    const left = await persist('STORE', 'certifyProofs', () => certifyProofs({ batchId }));
    if (left.closed) break;
    woken ||= left.complete;
    waitsForLicence = left.awaitingLicence > 0;
    upsertSearchAttributes([
      { key: searchAttributes.batchStage, value: waitsForLicence ? 'AWAITING_LICENSE' : 'EVIDENCE' },
      { key: searchAttributes.waitReason, value: waitsForLicence ? 'LICENSE' : 'EVIDENCE' },
    ]);
    setCurrentDetails(
      `Waiting for a licence: ${proofsInWords(left.awaitingLicence)}; for evidence: ${proofsInWords(left.awaitingEvidence)}.`,
    );
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof certifyBatch>({ ...input, sealed: true });
    }
  }
  setCurrentDetails('Done: every proof of this batch has its end.');
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
}

function proofsInWords(count: number): string {
  return count === 1 ? '1 proof' : `${count} proofs`;
}
