import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { AnchorInput, AnchorStep, LedgerActivities } from '../activities/ledger/anchor-activities.ts';
import { activity } from './activity.ts';
import { retryAnchor, searchAttributes } from './messages.ts';
import { createPersistence } from './persist.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** Before the second attempt; doubles up to the slow retry. */
const FIRST_ATTEMPT_PAUSE_MS = 1_000;

/**
 * Brings one checkpoint onto the ledger: prepare, submit, receipt, confirm. Bytes that may be under way are only ever
 * sent again; another attempt is prepared after proof that the last one never executes. What the network refuses for a
 * reason of ours waits for the update `retryAnchor`; what is suspect waits for a person, and nothing here ends it.
 */
export async function anchorCheckpoint(input: AnchorInput): Promise<void> {
  let retries = 0;
  let isSuspect = false;
  setHandler(
    retryAnchor,
    () => {
      retries++;
    },
    {
      validator: () => {
        if (isSuspect)
          throw ApplicationFailure.nonRetryable(
            'the anchor is suspect; see runbooks/anchor-suspect.md',
            'LEDGER_SUSPECT',
          );
      },
    },
  );
  const { persist } = createPersistence();
  const { origin, size } = input;
  const summary = `tree of ${size}`;
  const prepareAnchor = activity<LedgerActivities['prepareAnchor']>('prepareAnchor', summary);
  const submitAnchor = activity<LedgerActivities['submitAnchor']>('submitAnchor', summary);
  const awaitAnchorReceipt = activity<LedgerActivities['awaitAnchorReceipt']>('awaitAnchorReceipt', summary);
  const confirmAnchor = activity<LedgerActivities['confirmAnchor']>('confirmAnchor', summary);

  /** One pass over the steps, from wherever Postgres shows the anchor. */
  const pass = async (): Promise<AnchorStep> => {
    let step = await persist('LEDGER', 'prepareAnchor', () => prepareAnchor({ origin, size }));
    const key = { origin, size, attempt: step.attempt };
    const describe = (text: string) =>
      setCurrentDetails(`Checkpoint of size ${size}, attempt ${step.attempt}: ${text}`);
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
    const seen = retries;
    const step = await pass();
    if (step.state === 'VERIFIED') break;
    if (step.state === 'REJECTED' || step.state === 'FAILED') {
      await waitVisibly(
        'LEDGER_REJECTED',
        `the network ends it \`${step.status ?? step.state}\`. Mend funds or configuration, then send the update \`retryAnchor\`.`,
        step,
        () => retries > seen,
      );
    } else if (step.state === 'SUSPECT') {
      isSuspect = true;
      await waitVisibly(
        'LEDGER_SUSPECT',
        `**suspect**: ${step.status ?? 'mirrors show something else than was sent'}. See runbooks/anchor-suspect.md.`,
        step,
        () => false,
      );
    }
    // EXPIRED: another attempt, slower each time, since a copy that reached consensus cost its fee. SENT: the same bytes again.
    if (step.state === 'EXPIRED') {
      setCurrentDetails(
        `Checkpoint of size ${size}: attempt ${step.attempt} never executes (\`${step.status ?? 'expired'}\`); preparing another.`,
      );
      await condition(() => retries > seen, pauseMs);
      pauseMs = Math.min(2 * pauseMs, SLOW_RETRY_MS);
    }
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof anchorCheckpoint>(input);
    }
  }
  setCurrentDetails(`Anchored: checkpoint of size ${size}.`);
  await condition(allHandlersFinished);

  async function waitVisibly(code: string, text: string, step: AnchorStep, isOver: () => boolean): Promise<void> {
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: 'OPERATOR' },
      { key: searchAttributes.failureCode, value: code },
    ]);
    setCurrentDetails(`Checkpoint of size ${size}, attempt ${step.attempt}: ${text}`);
    await condition(isOver);
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: null },
      { key: searchAttributes.failureCode, value: null },
    ]);
  }
}
