import {
  ApplicationFailure,
  condition,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { AnchorInput, AnchorStep, SettleInput } from '../activities/ledger/anchor-step.ts';
import { anchorCommanded, retryAnchor, searchAttributes } from './messages.ts';
import type { createPersistence } from './persist.ts';

/** What an anchor of either medium waits by until an operator has decided about it. */
export interface Hold {
  /** Signals and updates that came so far: more than before means "look again". */
  words(): number;
  /** Waits, visibly, until a decision is applied. Returns the anchor as it then is. */
  settle(held: AnchorStep): Promise<AnchorStep>;
}

interface HoldOptions {
  readonly persist: ReturnType<typeof createPersistence>['persist'];
  /** The activity that applies what Postgres shows decided, and its name. */
  readonly name: string;
  readonly settle: (input: SettleInput) => Promise<AnchorStep>;
  /** For the page of suspect anchors of the medium. */
  readonly runbook: string;
  /** What a person reads while it waits. */
  readonly describe: (step: AnchorStep) => string;
}

/**
 * Sets the handlers of `anchorCommanded` and `retryAnchor`. Postgres has what was decided: the signal only says "look".
 * The update is the retry without the API, refused while the anchor is suspect.
 */
export function createHold({ origin, size }: AnchorInput, options: HoldOptions): Hold {
  let words = 0;
  let isRetryAsked = false;
  let isSuspect = false;
  setHandler(anchorCommanded, () => {
    words++;
  });
  setHandler(
    retryAnchor,
    () => {
      isRetryAsked = true;
      words++;
    },
    {
      validator: () => {
        if (isSuspect)
          throw ApplicationFailure.nonRetryable(`the anchor is suspect; see ${options.runbook}`, 'LEDGER_SUSPECT');
      },
    },
  );
  return {
    words: () => words,
    async settle(held) {
      for (let step = held; ; ) {
        const seen = words;
        const input = { origin, size, isRetryAsked };
        isRetryAsked = false;
        const settled = await options.persist('LEDGER', options.name, () => options.settle(input));
        if (settled.isHeld !== true) {
          isSuspect = false;
          return settled;
        }
        step = settled.status === undefined ? { ...settled, ...(step.status && { status: step.status }) } : settled;
        isSuspect = step.state === 'SUSPECT';
        await waitVisibly(step, () => words > seen);
      }
    },
  };

  async function waitVisibly(step: AnchorStep, isOver: () => boolean): Promise<void> {
    const code = step.state === 'SUSPECT' ? 'LEDGER_SUSPECT' : 'LEDGER_REJECTED';
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: 'OPERATOR' },
      { key: searchAttributes.failureCode, value: code },
    ]);
    setCurrentDetails(`Checkpoint of size ${size}, attempt ${step.attempt}: ${options.describe(step)}`);
    await condition(isOver);
    upsertSearchAttributes([
      { key: searchAttributes.waitReason, value: null },
      { key: searchAttributes.failureCode, value: null },
    ]);
  }
}
