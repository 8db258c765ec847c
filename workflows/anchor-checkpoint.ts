import { allHandlersFinished, condition, continueAsNew, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { LedgerActivities } from '../activities/ledger/anchor-activities.ts';
import type { AnchorInput, AnchorStep } from '../activities/ledger/anchor-step.ts';
import { activity } from './activity.ts';
import { createHold } from './hold-anchor.ts';
import { createPersistence } from './persist.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** Before the second attempt; doubles up to the slow retry. */
const FIRST_ATTEMPT_PAUSE_MS = 1_000;

/**
 * Brings one checkpoint onto the ledger: prepare, submit, receipt, confirm. Bytes that may be under way are only ever
 * sent again; another attempt is prepared after proof that the last one never executes. What the network refuses for a
 * reason of ours waits for an operator's retry (the API's verb, or the update `retryAnchor`); what is suspect waits for
 * the verb that accepts or abandons it. Postgres has what was decided: the signal only says "look".
 */
export async function anchorCheckpoint(input: AnchorInput): Promise<void> {
  const { persist } = createPersistence();
  const { origin, size } = input;
  const summary = `tree of ${size}`;
  const prepareAnchor = activity<LedgerActivities['prepareAnchor']>('prepareAnchor', summary);
  const submitAnchor = activity<LedgerActivities['submitAnchor']>('submitAnchor', summary);
  const awaitAnchorReceipt = activity<LedgerActivities['awaitAnchorReceipt']>('awaitAnchorReceipt', summary);
  const confirmAnchor = activity<LedgerActivities['confirmAnchor']>('confirmAnchor', summary);
  const hold = createHold(input, {
    persist,
    name: 'settleAnchor',
    settle: activity<LedgerActivities['settleAnchor']>('settleAnchor', summary),
    runbook: 'runbooks/anchor-suspect.md',
    describe: describeHeld,
  });

  /** One pass over the steps, from wherever Postgres shows the anchor. */
  const pass = async (): Promise<AnchorStep> => {
    let step = await persist('LEDGER', 'prepareAnchor', () => prepareAnchor({ origin, size }));
    const key = { origin, size, attempt: step.attempt };
    const describe = (text: string) =>
      setCurrentDetails(`Checkpoint of size ${size}, attempt ${step.attempt}: ${text}`);
    if (isOver(step)) return step;
    if (step.state === 'PREPARED' || step.state === 'REJECTED' || step.state === 'SENT') {
      describe('sending.');
      step = await persist('LEDGER', 'submitAnchor', () => submitAnchor(key));
    }
    if (step.state === 'SENT') {
      describe('sent; waiting for consensus.');
      step = await persist('LEDGER', 'awaitAnchorReceipt', () => awaitAnchorReceipt(key));
    }
    if (step.state === 'CONSENSUS' || step.state === 'CONFIRMED' || step.state === 'VERIFIED') {
      describe('at consensus; comparing with the mirrors.');
      step = await persist('LEDGER', 'confirmAnchor', () => confirmAnchor(key));
    }
    return step;
  };

  for (let pauseMs = FIRST_ATTEMPT_PAUSE_MS; ; ) {
    const seen = hold.words();
    let step = await pass();
    if (step.isHeld) step = await hold.settle(step);
    if (step.state === 'VERIFIED' || step.isAbandoned) {
      setCurrentDetails(
        step.isAbandoned
          ? `Given up by an operator: checkpoint of size ${size}. A later window anchors again.`
          : `Anchored: checkpoint of size ${size}.`,
      );
      break;
    }
    // EXPIRED: another attempt, slower each time, since a copy that reached consensus cost its fee. SENT: the same bytes again.
    if (step.state === 'EXPIRED') {
      setCurrentDetails(
        `Checkpoint of size ${size}: attempt ${step.attempt} never executes (\`${step.status ?? 'expired'}\`); preparing another.`,
      );
      await condition(() => hold.words() > seen, pauseMs);
      pauseMs = Math.min(2 * pauseMs, SLOW_RETRY_MS);
    }
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof anchorCheckpoint>(input);
    }
  }
  await condition(allHandlersFinished);
}

function describeHeld(step: AnchorStep): string {
  return step.state === 'SUSPECT'
    ? `**suspect**: ${step.status ?? 'mirrors show something else than was sent'}. See runbooks/anchor-suspect.md.`
    : `the network ends it \`${step.status ?? step.state}\`. Mend funds or configuration, then retry the anchor: runbooks/anchor-rejected.md.`;
}

const isOver = (step: AnchorStep): boolean => step.isHeld === true || step.isAbandoned === true;
