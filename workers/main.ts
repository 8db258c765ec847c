/** A worker process: config, clock, database, adapters, one worker a pool, health; stops in reverse on SIGTERM. */
import { Worker } from '@temporalio/worker';
import { systemClock } from '../domain/clock.ts';
import { createPool } from '../store/pool.ts';
import type { Pool } from '../workflows/policies.ts';
import { bundleWorkflows } from './bundle.ts';
import { composeActivities } from './compose.ts';
import { parseWorkerConfig } from './config.ts';
import { startHealth } from './health.ts';
import { createLogger } from './logger.ts';
import { keepTrustPublished } from './publish-trust.ts';
import { connectWorkers, installRuntime } from './temporal.ts';
import { translateErrors } from './translate-errors.ts';
import { untilStopped } from './until-stopped.ts';

/** Activities under way at once, by pool: enough for `maxUnsealedBatches` and the loops, bounded by the database. */
const CONCURRENCY: Readonly<Partial<Record<Pool, number>>> = { signer: 16, store: 8, timestamp: 4, ledger: 8 };
/** Activities get this long to end by themselves; heartbeats then tell Temporal that they are gone. */
const GRACE_MS = 10_000;

const config = parseWorkerConfig(process.env);
const logger = createLogger('workers', config.logLevel);
const clock = systemClock();
const stop = untilStopped();
installRuntime(logger);
const db = createPool({ url: config.dbUrl, max: 24, applicationName: 'proofline-workers', onError: (err) => logger.warn({ err }, 'a database connection was lost') });

let ready = false;
const health = await startHealth({ host: config.host, port: config.metricsPort, isReady: () => ready && !stop.aborted });
const composed = await composeActivities({ config, db, clock, logger });
const connection = await connectWorkers(config, logger, stop.signal);
const trust = composed.signer && keepTrustPublished({ config, db, clock, logger, signer: composed.signer });

const shared = {
  connection,
  namespace: config.temporalNamespace,
  shutdownGraceTime: GRACE_MS,
  shutdownForceTime: 2 * GRACE_MS,
  interceptors: { activity: [() => ({ inbound: translateErrors })] },
};
const workers: Worker[] = [];
for (const pool of config.pools) {
  if (pool === 'workflows') {
    workers.push(await Worker.create({ ...shared, taskQueue: pool, workflowBundle: await bundleWorkflows(logger), maxCachedWorkflows: 600, workflowTaskPollerBehavior: { type: 'autoscaling' } }));
  } else {
    const activities = composed.activities[pool];
    if (activities === undefined) continue;
    workers.push(
      await Worker.create({
        ...shared,
        taskQueue: pool,
        activities,
        maxConcurrentActivityTaskExecutions: CONCURRENCY[pool] ?? 8,
        // A loop's heartbeat timeout is 5 s.
        maxHeartbeatThrottleInterval: 2_000,
        defaultHeartbeatThrottleInterval: 1_000,
      }),
    );
  }
}
const running = Promise.all(workers.map((worker) => worker.run()));
ready = true;
logger.info({ pools: config.pools, health: health.url }, 'workers started');

// A worker that dies by itself takes the process with it: the supervisor starts it again.
await Promise.race([stop.done, running]);
const crashed = !stop.aborted;
for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
await running.catch((err) => logger.error({ err }, 'a worker failed'));
await trust?.stop();
await composed.close();
await connection.close();
await health.stop();
await db.end();
logger.info('workers stopped');
process.exit(crashed ? 1 : 0);
