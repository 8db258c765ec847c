import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { retryNow, searchAttributes, type WaitReason } from './messages.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** The code of the catalogue that an activity failed with; undefined for anything else. */
export function failureCode(error: unknown): string | undefined {
  if (!(error instanceof ActivityFailure)) return undefined;
  const cause = error.cause;
  return cause instanceof ApplicationFailure ? (cause.type ?? undefined) : 'TIMEOUT';
}

/**
 * Fast, then slow: the activity's policy is the fast phase; when it is spent, the wait becomes visible (WaitReason,
 * FailureCode, current details) and the step is tried again every five minutes, or at once on `retryNow`. An outage
 * never fails a proof. Cancellation and faults of ours pass through.
 */
export function createPersistence(): {
  persist<T>(reason: WaitReason, step: string, work: () => Promise<T>): Promise<T>;
} {
  let retryRequested = false;
  setHandler(retryNow, () => {
    retryRequested = true;
  });
  return {
    async persist(reason, step, work) {
      for (let round = 1; ; round++) {
        try {
          const result = await work();
          if (round > 1) {
            upsertSearchAttributes([
              { key: searchAttributes.waitReason, value: null },
              { key: searchAttributes.failureCode, value: null },
            ]);
          }
          return result;
        } catch (error) {
          const code = failureCode(error);
          if (isCancellation(error) || code === undefined) throw error;
          log.warn('waiting for an outside party', { reason, step, code, round });
          upsertSearchAttributes([
            { key: searchAttributes.waitReason, value: reason },
            { key: searchAttributes.failureCode, value: code },
          ]);
          setCurrentDetails(
            `**${step}** waits: \`${code}\`, round ${round}. It is tried again every ${SLOW_RETRY_MS / 60_000} minutes, or at once on the signal \`retryNow\`.`,
          );
          retryRequested = false;
          await condition(() => retryRequested, SLOW_RETRY_MS);
        }
      }
    },
  };
}
