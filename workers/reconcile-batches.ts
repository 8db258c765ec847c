import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Clock } from '../domain/clock.ts';
import { workflowIds } from '../domain/ids.ts';
import { type OpenBatch, type OpenBatchCursor, readOpenBatches, restartBatch } from '../store/batches.ts';
import type { Db } from '../store/pool.ts';

const PAGE = 200;
/** Batches at rest that one pass looks after. */
export const RESTING_A_PASS = 600;
/** Questions to Temporal under way at once. */
const AT_ONCE = 8;
const DEADLINE_MS = 10_000;

export interface BatchReconciliationDeps {
  readonly client: Client;
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRestart: () => void;
}

/**
 * Starts the next generation of each open batch whose run is gone. Batches that move are looked after in every pass. Those at
 * rest, for an anchor or for weeks for a licence, may be tens of thousands, and miss nothing before they are woken; then they
 * move. They take turns, as many a pass, unless one is gone: then Temporal has lost more, and the pass looks after all.
 */
export function createBatchReconciliation(deps: BatchReconciliationDeps): (before: string) => Promise<void> {
  let turn: OpenBatchCursor | undefined;
  return async (before) => {
    for (let after: OpenBatchCursor | undefined; ; ) {
      const page = await readOpenBatches(deps.db, { who: 'moving', before, after, limit: PAGE });
      await restartGone(deps, page);
      if (page.length < PAGE) break;
      after = cursorOf(page);
    }
    for (let [looked, gone] = [0, 0]; looked < RESTING_A_PASS || gone > 0; ) {
      const page = await readOpenBatches(deps.db, { who: 'resting', before, after: turn, limit: PAGE });
      looked += page.length;
      gone += await restartGone(deps, page);
      turn = page.length < PAGE ? undefined : cursorOf(page);
      // Where the turn began is not known any more; whoever stands before it has the next pass.
      if (turn === undefined) break;
    }
  };
}

function cursorOf(page: readonly OpenBatch[]): OpenBatchCursor | undefined {
  const last = page.at(-1);
  return last && { formedAt: last.formedAt, id: last.batchId };
}

/** Returns how many were gone. */
async function restartGone(deps: BatchReconciliationDeps, page: readonly OpenBatch[]): Promise<number> {
  const queue = page.values();
  let gone = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const batch of queue) {
        if (await isRunning(deps.client, workflowIds.certifyBatch(batch.batchId, batch.generation))) continue;
        gone++;
        await restart(deps, batch);
      }
    }),
  );
  return gone;
}

async function restart({ db, clock, logger, onRestart }: BatchReconciliationDeps, batch: OpenBatch): Promise<void> {
  if ((await restartBatch(db, batch, clock.nowMicros())) !== 'restarted') return;
  onRestart();
  logger.warn(
    { batch: batch.batchId, generation: batch.generation + 1 },
    'the run of a batch was gone; it is started again',
  );
}

async function isRunning(client: Client, workflowId: string): Promise<boolean> {
  try {
    const description = await client.withDeadline(Date.now() + DEADLINE_MS, () =>
      client.workflow.getHandle(workflowId).describe(),
    );
    return description.status.name === 'RUNNING' || description.status.name === 'CONTINUED_AS_NEW';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
