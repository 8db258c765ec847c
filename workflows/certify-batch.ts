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
  /** Members at the start. */
  readonly proofCount: number;
  /** Others may join while it is sealed. */
  readonly mayGrow?: boolean;
  /** Set when a run goes on after continue-as-new. */
  readonly sealed?: boolean;
  /** So continued: it was told to look and has not yet. */
  readonly woken?: boolean;
  /** So continued: proofs wait for a licence, so that it looks by itself as well. */
  readonly waitsForLicence?: boolean;
}

/**
 * Carries one batch: seal, wait until the evidence that the policy asks for is complete, certify; proofs without a
 * licence keep it open until they are served. Every step skips what Postgres shows done, so that a run may be
 * started again at any point.
 */
export async function certifyBatch(input: CertifyBatchInput): Promise<void> {
  let woken = input.woken === true;
  const wake = () => {
    woken = true;
  };
  setHandler(evidenceComplete, wake);
  setHandler(licencesGranted, wake);
  // Support verbs are applied in SQL by the relay, whether Temporal is there or not; the batch only looks again.
  setHandler(commandsApplied, wake);
  const { persist } = createPersistence();
  const { batchId } = input;
  let proofCount = input.proofCount;

  if (input.sealed !== true) {
    const size = `${proofsInWords(proofCount)}${input.mayGrow === true ? ' and those that join' : ''}`;
    const sealBatch = activity<SealingActivities['sealBatch']>('sealBatch', size);
    setCurrentDetails(`Sealing ${size}.`);
    const sealed = await persist('SIGNER', 'sealBatch', () => sealBatch({ batchId }));
    const { failed } = sealed;
    woken ||= sealed.complete;
    proofCount = sealed.proofCount;
    upsertSearchAttributes([
      { key: searchAttributes.batchStage, value: 'EVIDENCE' },
      { key: searchAttributes.batchSize, value: proofCount },
    ]);
    setCurrentDetails(
      `Sealed ${proofsInWords(proofCount)}${failed > 0 ? `, ${failed} refused` : ''}. Waiting for the timestamp and, if the policy asks for it, the anchor. Proofs are cancelled over the API, not here.`,
    );
  }

  const certifyProofs = activity<CertificateActivities['certifyProofs']>('certifyProofs', proofsInWords(proofCount));
  for (let waitsForLicence = input.waitsForLicence === true; ; ) {
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
      await continueAsNew<typeof certifyBatch>({ ...input, proofCount, sealed: true, woken, waitsForLicence });
    }
  }
  setCurrentDetails('Done: every proof of this batch has its end.');
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
}

function proofsInWords(count: number): string {
  return count === 1 ? '1 proof' : `${count} proofs`;
}
