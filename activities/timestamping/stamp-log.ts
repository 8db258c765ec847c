import { Context } from '@temporalio/activity';
import { runStampLoop, type StampLogInput, type TimestampingDeps } from './stamp-loop.ts';

export type TimestampingActivities = ReturnType<typeof createTimestamping>;

export interface TimestampingActivityDeps extends TimestampingDeps {
  /** Aborted when the process stops: the SDK tells activities only at the end of the grace time. */
  readonly stopping?: AbortSignal;
}

export const createTimestamping = (deps: TimestampingActivityDeps) => ({
  /**
   * Keeps the log of `origin` timestamped until it is cancelled or six hours have passed. Two at once do no harm: the
   * first stored token of a checkpoint wins, a smaller one that comes later is ignored. Heartbeats at least once a second,
   * details `StampLogState`. Throws what no waiting can mend.
   */
  async stampLog(input: StampLogInput): Promise<void> {
    const context = Context.current();
    await runStampLoop(deps, input, {
      signal: AbortSignal.any([context.cancellationSignal, ...(deps.stopping === undefined ? [] : [deps.stopping])]),
      heartbeat: (state) => context.heartbeat(state),
    });
    // Cancelled: said so. A loop that ends because the process stops is started anew by the workflow, elsewhere.
    if (context.cancellationSignal.aborted) await context.cancelled;
  },
});
