import { allHandlersFinished, condition, continueAsNew, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { AnchorInput, AnchorStep } from '../activities/ledger/anchor-step.ts';
import type { ContractActivities } from '../activities/ledger/contract-activities.ts';
import { activity } from './activity.ts';
import { createHold } from './hold-anchor.ts';
import { createPersistence } from './persist.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** Before another attempt; doubles up to the slow retry, since a call that reached consensus cost its gas. */
const FIRST_ATTEMPT_PAUSE_MS = 1_000;

/**
 * Brings one checkpoint into the registry contract. What the network or the contract refuses for a reason of ours waits
 * for an operator's retry (the API's verb, or the update `retryAnchor`); what mirrors contradict waits for the verb that
 * accepts or abandons it. Nothing else waits for it, and no proof in mode `both`.
 */
export async function anchorContract({ origin, size }: AnchorInput): Promise<void> {
  const { persist } = createPersistence();
  const summary = `tree of ${size}`;
  const anchorInContract = activity<ContractActivities['anchorInContract']>('anchorInContract', summary);
  const hold = createHold(
    { origin, size },
    {
      persist,
      name: 'settleContractAnchor',
      settle: activity<ContractActivities['settleContractAnchor']>('settleContractAnchor', summary),
      runbook: 'runbooks/anchor-contract.md',
      describe: describeHeld,
    },
  );

  for (let pauseMs = FIRST_ATTEMPT_PAUSE_MS; ; ) {
    const seen = hold.words();
    setCurrentDetails(`Checkpoint of size ${size}: into the contract.`);
    let step = await persist('LEDGER', 'anchorInContract', () => anchorInContract({ origin, size }));
    if (step.isHeld) step = await hold.settle(step);
    if (step.state === 'VERIFIED' || step.isAbandoned) {
      setCurrentDetails(
        step.isAbandoned
          ? `Given up by an operator: checkpoint of size ${size}. A later window anchors again.`
          : `In the contract: checkpoint of size ${size}.`,
      );
      break;
    }
    if (step.state === 'EXPIRED') {
      await condition(() => hold.words() > seen, pauseMs);
      pauseMs = Math.min(2 * pauseMs, SLOW_RETRY_MS);
    }
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof anchorContract>({ origin, size });
    }
  }
  await condition(allHandlersFinished);
}

function describeHeld(step: AnchorStep): string {
  return `**${step.state}** \`${step.status ?? ''}\`. See runbooks/anchor-contract.md.`;
}
