import type { Logger } from 'pino';
import { type Clock, toMicros } from '../domain/clock.ts';
import { type DueMotion, deleteMotion, postponeMotion, takeDueMotion } from '../store/outbox.ts';
import { type Db, inTransaction } from '../store/pool.ts';
import { deliverMotion, type MotionDelivery } from './deliver-motion.ts';

/** Motion taken in one transaction, and calls to Temporal under way at once. */
export const TAKE = 200;
const MAX_POSTPONE_MS = 30_000;

export interface OutboxDelivery extends MotionDelivery {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Delivers one group; true when there may be more. After a crash here the group is delivered again. */
export function deliverDue(deps: OutboxDelivery): Promise<boolean> {
  return inTransaction(deps.db, async (tx) => {
    const due = await takeDueMotion(tx, TAKE, deps.clock.nowMicros());
    if (due.length === 0) return false;
    const outcomes = await deliverInOrder(deps, due);
    await deleteMotion(
      tx,
      outcomes.filter((o) => o.delivered).map((o) => o.motion.id),
    );
    const late = outcomes.filter((o) => !o.delivered).map((o) => o.motion);
    if (late.length > 0) {
      const attempts = Math.max(...late.map((m) => m.attempts));
      const waitMs = Math.min(MAX_POSTPONE_MS, 500 * 2 ** Math.min(attempts, 10));
      await postponeMotion(
        tx,
        late.map((m) => m.id),
        toMicros(BigInt(deps.clock.nowMs() + waitMs) * 1000n),
      );
    }
    return due.length === TAKE && late.length === 0;
  });
}

interface Outcome {
  readonly motion: DueMotion;
  readonly delivered: boolean;
}

/** Rows of one workflow one after the other (its start before its signals), workflows beside each other. */
async function deliverInOrder(deps: OutboxDelivery, due: readonly DueMotion[]): Promise<readonly Outcome[]> {
  const byWorkflow = Map.groupBy(due, (motion) => motion.workflowId);
  return (await Promise.all([...byWorkflow.values()].map((motions) => deliverOne(deps, motions)))).flat();
}

/**
 * The rows of one workflow. A signal says only "look", and its workflow looks after all that was committed before it was
 * sent: one of a name stands for all of them, so that hundreds cost one call and one event of the history.
 */
async function deliverOne(deps: OutboxDelivery, motions: readonly DueMotion[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const signalled = new Set<string>();
  let stuck = false;
  for (const motion of motions) {
    if (!stuck && !signalled.has(motion.name)) {
      await deliverMotion(deps, motion).catch((error) => {
        stuck = true;
        deps.logger.warn(
          { err: error, workflowId: motion.workflowId, attempts: motion.attempts },
          'Temporal did not take motion; it is tried again',
        );
      });
      // Whoever was signalled before a start may be another run.
      if (motion.kind === 'start') signalled.clear();
      else signalled.add(motion.name);
    }
    outcomes.push({ motion, delivered: !stuck });
  }
  return outcomes;
}
