/** The relay's process: config, clock, pool, client, relay, health; stops in reverse on SIGTERM and SIGINT. */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../domain/clock.ts';
import { timeOrderedId } from '../domain/ids.ts';
import { createPool } from '../store/pool.ts';
import { parseRelayConfig } from './config.ts';
import { startHealth } from './health.ts';
import { createLogger } from './logger.ts';
import { startRelay } from './relay.ts';
import { createTemporalClient } from './temporal.ts';
import { untilStopped } from './until-stopped.ts';

const config = parseRelayConfig(process.env);
const logger = createLogger('relay', config.logLevel);
const stop = untilStopped();
const clock = systemClock();
const db = createPool({
  url: config.dbUrl,
  max: 10,
  applicationName: 'proofline-relay',
  onError: (err) => logger.warn({ err }, 'a database connection was lost'),
});
const client = createTemporalClient(config);
const relay = startRelay({
  db,
  client,
  clock,
  newId: () => timeOrderedId(clock.nowMs(), randomBytes(10)),
  logger,
  origin: config.origin,
  workflowQueue: 'workflows',
  maxUnsealedBatches: config.maxUnsealedBatches,
  reconcileMs: config.reconcileMs,
  reconcileGraceMs: config.reconcileGraceMs,
});
const health = await startHealth({ host: config.host, port: config.metricsPort, isReady: () => !stop.aborted });
logger.info({ health: health.url }, 'relay started');

await stop.done;
await relay.stop();
await health.stop();
await client.connection.close();
await db.end();
logger.info('relay stopped');
process.exit(0);
