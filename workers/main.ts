/** A worker process: config, clock, database, adapters, one worker a pool, health; stops in reverse on SIGTERM. */
import { systemClock } from '../domain/clock.ts';
import { createPool } from '../store/pool.ts';
import { bundleWorkflows } from './bundle.ts';
import { composeActivities } from './compose.ts';
import { parseWorkerConfig } from './config.ts';
import { startHealth } from './health.ts';
import { createLogger } from './logger.ts';
import { keepTrustPublished } from './publish-trust.ts';
import { startWorkers } from './start-workers.ts';
import { connectWorkers, installRuntime } from './temporal.ts';
import { untilStopped } from './until-stopped.ts';

const config = parseWorkerConfig(process.env);
const logger = createLogger('workers', config.logLevel);
const clock = systemClock();
const stop = untilStopped();
installRuntime(logger);
const db = createPool({
  url: config.dbUrl,
  max: 24,
  applicationName: 'proofline-workers',
  onError: (err) => logger.warn({ err }, 'a database connection was lost'),
});
let ready = false;
const health = await startHealth({
  host: config.host,
  port: config.metricsPort,
  isReady: () => ready && !stop.aborted,
});
const composed = await composeActivities({ config, db, clock, logger, stopping: stop.signal });
const trust = composed.signer && keepTrustPublished({ config, db, clock, logger, signer: composed.signer });
const workflowBundle = config.pools.includes('workflows')
  ? await bundleWorkflows(logger, config.workflowBundleFile)
  : undefined;

const connection = await connectWorkers(config, logger, stop.signal).catch(() => process.exit(0));
const workers = await startWorkers({
  connection,
  namespace: config.temporalNamespace,
  pools: config.pools,
  activities: composed.activities,
  workflowBundle,
  queuePrefix: '',
});
ready = true;
logger.info({ pools: config.pools, health: health.url }, 'workers started');

// A worker that ends by itself takes the process with it: the supervisor starts it again.
await Promise.race([stop.done, workers.ended.catch((err) => logger.error({ err }, 'a worker failed'))]);
const crashed = !stop.aborted;
await workers.stop().catch((err) => logger.error({ err }, 'a worker failed'));
await trust?.stop();
await composed.close();
await connection.close();
await health.stop();
await db.end();
logger.info('workers stopped');
process.exit(crashed ? 1 : 0);
