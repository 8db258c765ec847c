import { type NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import type { Pool } from '../workflows/policies.ts';
import type { Composed } from './compose.ts';
import { keepAlive } from './keep-alive.ts';
import { translateErrors } from './translate-errors.ts';

/**
 * Activities under way at once, by pool: bounded by the database, but enough of `signer` that large batches which wait for
 * each other leave room to small ones.
 */
const CONCURRENCY: Readonly<Partial<Record<Pool, number>>> = { signer: 128, store: 8, timestamp: 4, ledger: 8 };
/** Activities get this long to end by themselves; heartbeats then tell Temporal that they are gone. */
const GRACE_MS = 10_000;

export interface StartWorkersOptions {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly pools: readonly Pool[];
  readonly activities: Composed['activities'];
  /** Needed where the pools hold `workflows`. */
  readonly workflowBundle: WorkflowBundle | undefined;
  /** `x.` makes the queues `x.workflows`, `x.signer` …; empty in production. */
  readonly queuePrefix: string;
}

export interface RunningWorkers {
  /** Settles when a worker ends, by itself or by `stop`. */
  readonly ended: Promise<unknown>;
  /** Lets activities end within the grace time. */
  stop(): Promise<void>;
}

/** Starts one worker a pool, on the pool's own task queue. */
export async function startWorkers(options: StartWorkersOptions): Promise<RunningWorkers> {
  const workers: Worker[] = [];
  for (const pool of options.pools) {
    const worker = await createWorker(options, pool);
    if (worker !== undefined) workers.push(worker);
  }
  // A pool may have nothing to do in this installation, such as `ledger` without a ledger: its process idles.
  const idle = Promise.withResolvers<void>();
  const running = workers.length === 0 ? idle.promise : Promise.all(workers.map((worker) => worker.run()));
  // Whoever stops the workers hears of a failure; nobody need wait for `ended`.
  running.catch(() => undefined);
  return {
    ended: running,
    async stop() {
      idle.resolve();
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await running;
    },
  };
}

async function createWorker(options: StartWorkersOptions, pool: Pool): Promise<Worker | undefined> {
  const shared = {
    connection: options.connection,
    namespace: options.namespace,
    taskQueue: `${options.queuePrefix}${pool}`,
    shutdownGraceTime: GRACE_MS,
    shutdownForceTime: 2 * GRACE_MS,
    interceptors: { activity: [() => ({ inbound: keepAlive }), () => ({ inbound: translateErrors })] },
  };
  if (pool === 'workflows') {
    if (options.workflowBundle === undefined) throw new Error('the pool `workflows` needs the bundle');
    return Worker.create({
      ...shared,
      workflowBundle: options.workflowBundle,
      maxCachedWorkflows: 600,
      workflowTaskPollerBehavior: { type: 'autoscaling' },
    });
  }
  const activities = options.activities[pool];
  if (activities === undefined) return undefined;
  return Worker.create({
    ...shared,
    activities,
    maxConcurrentActivityTaskExecutions: CONCURRENCY[pool] ?? 8,
    // A loop's heartbeat timeout is 5 s.
    maxHeartbeatThrottleInterval: 2_000,
    defaultHeartbeatThrottleInterval: 1_000,
  });
}
