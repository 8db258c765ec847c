import {
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { createIntegration } from '../activities/integration/integrate-log.ts';
import type { TimestampingActivities } from '../activities/timestamping/stamp-log.ts';
import { activity } from './activity.ts';
import { retryNow, searchAttributes } from './messages.ts';
import { failureCode } from './persist.ts';
import { SLOW_RETRY_MS } from './policies.ts';

/** Pause before a loop that ended is started again, so that a fault cannot spin. */
const RESTART_MS = 1_000;

export interface RunLogInput {
  readonly origin: string;
}

/**
 * Keeps the two loops of the log running: `integrateLog` (leaves, checkpoints, anchor windows) and `stampLog`
 * (timestamps). Each is a long heartbeating activity; one that ends is started again, one that must not go on
 * (LOG_ROLLBACK) waits for an operator's `retryNow`.
 */
export async function runLog(input: RunLogInput): Promise<void> {
  let retries = 0;
  setHandler(retryNow, () => {
    retries++;
  });
  const integrateLog = activity<ReturnType<typeof createIntegration>['integrateLog']>(
    'integrateLog',
    'leaves, checkpoints, anchor windows',
  );
  const stampLog = activity<TimestampingActivities['stampLog']>('stampLog', 'timestamps');
  setCurrentDetails(
    `Two loops keep the log \`${input.origin}\`: integrateLog and stampLog. Their heartbeat details say where they are.`,
  );

  const keep = async (name: string, loop: () => Promise<unknown>): Promise<void> => {
    while (!workflowInfo().continueAsNewSuggested) {
      try {
        await loop();
        await sleep(RESTART_MS);
      } catch (error) {
        const code = failureCode(error);
        if (isCancellation(error) || code === undefined) throw error;
        log.error('a loop of the log stopped', { name, code });
        upsertSearchAttributes([
          { key: searchAttributes.waitReason, value: 'OPERATOR' },
          { key: searchAttributes.failureCode, value: code },
        ]);
        setCurrentDetails(`**${name}** stopped: \`${code}\`. After mending the cause, send the signal \`retryNow\`.`);
        const seen = retries;
        await condition(() => retries > seen, SLOW_RETRY_MS);
        upsertSearchAttributes([
          { key: searchAttributes.waitReason, value: null },
          { key: searchAttributes.failureCode, value: null },
        ]);
      }
    }
  };

  const loops = new CancellationScope();
  await loops
    .run(async () => {
      const running = [
        keep('integrateLog', () => integrateLog({})),
        keep('stampLog', () => stampLog({ origin: input.origin })),
      ];
      // The first that sees a long history ends both; the next run starts them again.
      await Promise.race(running);
      loops.cancel();
      await Promise.allSettled(running);
    })
    .catch((error) => {
      if (!isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
    });
  await continueAsNew<typeof runLog>(input);
}
