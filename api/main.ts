/** The API process: config, clock, pools, app, servers; stopped in reverse on SIGTERM or SIGINT. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { systemClock } from '../domain/clock.ts';
import { timeOrderedId } from '../domain/ids.ts';
import { createAcceptor } from '../store/accept.ts';
import { listen } from '../store/listen.ts';
import { createPool } from '../store/pool.ts';
import { readRing } from '../store/ring-done.ts';
import { createApp } from './app.ts';
import { readConfig } from './config.ts';
import { createReads } from './group-reads.ts';
import { createHealthServer } from './health.ts';
import { createKeyRing } from './key-ring.ts';
import { createMetrics } from './metrics.ts';
import { createPooledRandom } from './pooled-random.ts';
import { createRateLimiter } from './rate-limit.ts';
import { createApiServer, drain, listenOn } from './server.ts';
import { createWaiters } from './waiters.ts';

const DRAIN_MS = 10_000;

const config = readConfig(process.env);
const log = pino({ name: 'api', level: config.logLevel });
const clock = systemClock();
const random = createPooledRandom();
const metrics = createMetrics();

const onError = (error: unknown): void => log.warn({ err: error }, 'connection to the database lost');
const db = createPool({ url: config.dbApiUrl, max: 20, applicationName: 'proofline-api', onError });
const intake = createPool({ url: config.dbIntakeUrl, max: 2, applicationName: 'proofline-intake', onError });

const acceptor = createAcceptor({
  intake,
  onGroup(requests, proofs) {
    metrics.acceptGroupRequests.observe(requests);
    metrics.acceptGroupProofs.observe(proofs);
  },
});
const waiters = createWaiters(db, onError);
const listening = listen(db, ['proofline_done'], (_channel, payload) => waiters.wake(readRing(payload)));

const app = await createApp({
  db,
  acceptor,
  reads: createReads(db),
  keys: createKeyRing(db, clock),
  waiters,
  verifyLimit: createRateLimiter(clock),
  clock,
  newId: () => timeOrderedId(clock.nowMs(), random(10)),
  newProofId: randomUUID,
  randomBytes: random,
  log,
  metrics,
  settings: {
    publicUrl: config.publicUrl,
    origin: config.origin,
    ...(config.temporalUiUrl === undefined
      ? {}
      : { temporalUi: { url: config.temporalUiUrl, namespace: config.temporalNamespace } }),
  },
});

let isServing = false;
let isStopping = false;
const isStoreUp = (): Promise<boolean> =>
  db.query('SELECT 1').then(
    () => true,
    () => false,
  );
const server = createApiServer(app, config.publicUrl, randomUUID);
const health = createHealthServer({
  registry: metrics.registry,
  isReady: async () => isServing && (await isStoreUp()),
});

const metricsPort = await listenOn(health, config.host, config.metricsPort);
const port = await listenOn(server, config.host, config.port);
isServing = !isStopping;
log.info({ port, metricsPort }, 'serving');

const stop = async (signal: string): Promise<void> => {
  if (isStopping) return;
  isStopping = true;
  isServing = false;
  log.info({ signal }, 'draining');
  waiters.stop();
  await drain(server, DRAIN_MS);
  await listening.stop();
  await Promise.all([db.end(), intake.end()]);
  await drain(health, 0);
  log.info('stopped');
};
process.on('SIGTERM', (signal) => void stop(signal));
process.on('SIGINT', (signal) => void stop(signal));
