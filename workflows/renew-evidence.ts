import { continueAsNew, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { EvidenceRenewalActivities } from '../activities/timestamping/renew-evidence.ts';
import { activity } from './activity.ts';
import { createPersistence } from './persist.ts';

export interface RenewEvidenceInput {
  /** A row of `evidence_renewals`; absent, from the schedule: tokens whose certificates end soon. */
  readonly request?: string;
  /** Of the runs before this one. */
  readonly renewed?: number;
  readonly after?: string;
}

export interface RenewEvidenceResult {
  readonly renewed: number;
}

/**
 * Has old tokens protected by new ones, in bulk, until nothing is due. An outage of the authorities is waited for, visibly;
 * each chunk starts from what the store shows.
 */
export async function renewEvidence(input: RenewEvidenceInput = {}): Promise<RenewEvidenceResult> {
  const { persist } = createPersistence();
  const renewTokens = activity<EvidenceRenewalActivities['renewTokens']>('renewTokens');
  let { renewed = 0, after } = input;
  for (;;) {
    const page = {
      renewed,
      ...(input.request !== undefined && { request: input.request }),
      ...(after !== undefined && { after }),
    };
    const step = await persist('TSA', 'renewTokens', () => renewTokens(page));
    renewed += step.renewed;
    after = step.after;
    setCurrentDetails(`${renewed} tokens renewed${step.done ? '.' : ', going on.'}`);
    if (step.done) return { renewed };
    if (workflowInfo().continueAsNewSuggested)
      await continueAsNew<typeof renewEvidence>({ ...input, renewed, ...(after !== undefined && { after }) });
  }
}
