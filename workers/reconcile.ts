import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import type { Clock } from '../domain/clock.ts';
import { toMicros } from '../domain/clock.ts';
import { workflowIds } from '../domain/ids.ts';
import { readOpenAnchors } from '../store/anchors.ts';
import { type OpenBatch, readOpenBatches, restartBatch } from '../store/batches.ts';
import type { Db } from '../store/pool.ts';

const PAGE = 200;
const DEADLINE_MS = 10_000;

const rebuilt = new Counter({
  name: 'proofline_motion_rebuilt_total',
  help: 'Workflows started again from Postgres.',
  labelNames: ['type'],
});

export interface ReconcileDeps {
  readonly client: Client;
  readonly workflowQueue: string;
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly origin: string;
  /** Younger than this, motion may still be on its way. */
  readonly reconcileGraceMs: number;
}

/**
 * Compares what is open in Postgres with what runs in Temporal and starts again what is gone: the log, every open
 * batch under its next generation, every open anchor. Repeating it does nothing.
 */
export async function reconcile(deps: ReconcileDeps): Promise<void> {
  await start(deps, 'runLog', workflowIds.runLog(deps.origin), { origin: deps.origin });
  await reconcileBatches(deps);
  for (const { origin, size } of await readOpenAnchors(deps.db, olderThan(deps), PAGE)) {
    await start(deps, 'anchorCheckpoint', workflowIds.anchorCheckpoint(origin, size), {
      origin,
      size: size.toString(),
    });
  }
}

async function reconcileBatches(deps: ReconcileDeps): Promise<void> {
  let after: { formedAt: string; id: string } | undefined;
  for (;;) {
    const page = await readOpenBatches(deps.db, olderThan(deps), after, PAGE);
    for (const batch of page) {
      if (await isRunning(deps.client, workflowIds.certifyBatch(batch.batchId, batch.generation))) continue;
      await restart(deps, batch);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = { formedAt: last.formedAt, id: last.batchId };
  }
}

async function restart(deps: ReconcileDeps, batch: OpenBatch): Promise<void> {
  if ((await restartBatch(deps.db, batch, deps.clock.nowMicros())) !== 'restarted') return;
  rebuilt.inc({ type: 'certifyBatch' });
  deps.logger.warn(
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

/** Starts a workflow unless it runs; one that ended is started again under its id. */
async function start(deps: ReconcileDeps, type: string, workflowId: string, input: unknown): Promise<void> {
  try {
    await deps.client.withDeadline(Date.now() + DEADLINE_MS, () =>
      deps.client.workflow.start(type, {
        workflowId,
        taskQueue: deps.workflowQueue,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: workflowId,
      }),
    );
    rebuilt.inc({ type });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

function olderThan(deps: ReconcileDeps): string {
  return toMicros(BigInt(deps.clock.nowMs() - deps.reconcileGraceMs) * 1000n);
}
