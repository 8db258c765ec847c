import { Context } from '@temporalio/activity';
import { runStampLoop, type StampLogInput, type TimestampingDeps } from './stamp-loop.ts';

export type TimestampingActivities = ReturnType<typeof createTimestamping>;

export const createTimestamping = (deps: TimestampingDeps) => ({
  /**
   * Keeps the log of `origin` timestamped until it is cancelled or six hours have passed. Two at once do no harm: the
   * first stored token of a checkpoint wins, a smaller one that comes later is ignored. Heartbeats at least once a second,
   * details `StampLogState`. Throws what no waiting can mend.
   */
  async stampLog(input: StampLogInput): Promise<void> {
    const context = Context.current();
    await runStampLoop(deps, input, {
      signal: context.cancellationSignal,
      heartbeat: (state) => context.heartbeat(state),
    });
    // Rejects with the reason, so that a stopping worker hands the loop to another at once.
    if (context.cancellationSignal.aborted) await context.cancelled;
  },
});
