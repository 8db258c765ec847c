import {
  allHandlersFinished,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { AnchorInput, AnchorStep } from '../activities/ledger/anchor-step.ts';
import type { ContractActivities } from '../activities/ledger/contract-activities.ts';
import { activity } from './activity.ts';
import { retryAnchor, searchAttributes } from './messages.ts';
import { createPersistence } from './persist.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** Before another attempt; doubles up to the slow retry, since a call that reached consensus cost its gas. */
const FIRST_ATTEMPT_PAUSE_MS = 1_000;

/**
 * Brings one checkpoint into the registry contract. What the network or the contract refuses for a reason of ours, and
 * what mirrors contradict, waits for the update `retryAnchor`; nothing else waits for it, and no proof in mode `both`.
 */
export async function anchorContract({ origin, size }: AnchorInput): Promise<void> {
  let retries = 0;
  setHandler(retryAnchor, () => {
    retries++;
  });
  const { persist } = createPersistence();
  const anchorInContract = activity<ContractActivities['anchorInContract']>('anchorInContract', `tree of ${size}`);

  let isRetryAsked = false;
  for (let pauseMs = FIRST_ATTEMPT_PAUSE_MS; ; ) {
    const seen = retries;
    setCurrentDetails(`Checkpoint of size ${size}: into the contract.`);
    const step = await persist('LEDGER', 'anchorInContract', () => anchorInContract({ origin, size, isRetryAsked }));
    isRetryAsked = false;
    if (step.state === 'VERIFIED') break;
    if (step.isHeld) {
      await waitVisibly(step, () => retries > seen);
      isRetryAsked = true;
    } else {
      await condition(() => retries > seen, pauseMs);
      pauseMs = Math.min(2 * pauseMs, SLOW_RETRY_MS);
    }
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof anchorContract>({ origin, size });
    }
  }
  setCurrentDetails(`In the contract: checkpoint of size ${size}.`);
  await condition(allHandlersFinished);

  async function waitVisibly(step: AnchorStep, isOver: () => boolean): Promise<void> {
    const code = step.state === 'SUSPECT' ? 'LEDGER_SUSPECT' : 'LEDGER_REJECTED';
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: 'OPERATOR' },
      { key: searchAttributes.failureCode, value: code },
    ]);
    setCurrentDetails(
      `Checkpoint of size ${size}, attempt ${step.attempt}: **${step.state}** \`${step.status ?? ''}\`. See runbooks/anchor-contract.md; the update \`retryAnchor\` tries again.`,
    );
    await condition(isOver);
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: null },
      { key: searchAttributes.failureCode, value: null },
    ]);
  }
}
