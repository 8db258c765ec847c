import { Context } from '@temporalio/activity';
import type { ActivityExecuteInput, ActivityInboundCallsInterceptor, Next } from '@temporalio/worker';
import { POLICIES } from '../workflows/policies.ts';

/** A few beats fit into every heartbeat timeout. */
const BEAT_MS = 2_000;

const lastDetails = new WeakMap<Context, unknown>();

/** Tells Temporal how far the activity is. */
export function heartbeat(detail: unknown): void {
  const context = Context.current();
  lastDetails.set(context, detail);
  context.heartbeat(detail);
}

/**
 * Beats for as long as the process of an activity lives, between its own beats: a step of 2,000 proofs may take longer
 * than a dead worker should go unnoticed. A step that hangs is ended by its other timeouts. Loops beat for themselves,
 * once a turn, so that one that hangs is noticed.
 */
export const keepAlive: ActivityInboundCallsInterceptor = {
  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    const context = Context.current();
    const policy: { readonly heartbeatMs?: number; readonly attempts: number | 'unlimited' } | undefined =
      POLICIES[context.info.activityType as keyof typeof POLICIES];
    if (policy?.heartbeatMs === undefined || policy.attempts === 'unlimited') return next(input);
    const beating = setInterval(() => context.heartbeat(lastDetails.get(context)), BEAT_MS);
    try {
      return await next(input);
    } finally {
      clearInterval(beating);
    }
  },
};
