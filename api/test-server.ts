/** The whole API over real HTTP and a real Postgres, for tests; responses are validated against the contract. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Express } from 'express';
import { pino } from 'pino';
import { type Clock, systemClock } from '../domain/clock.ts';
import { createAcceptor } from '../store/accept.ts';
import { listen } from '../store/listen.ts';
import { readRing } from '../store/ring-done.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { createApp } from './app.ts';
import { createReads } from './group-reads.ts';
import { createKeyRing } from './key-ring.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createRateLimiter } from './rate-limit.ts';
import { createApiServer, drain, listenOn } from './server.ts';
import { createWaiters } from './waiters.ts';

export const TEST_ORIGIN = 'localhost/proofline';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly database: TestDatabase;
  readonly app: Express;
  readonly metrics: Metrics;
  /** Sizes of the groups sent to accept(), in order. */
  readonly groups: readonly { readonly requests: number; readonly proofs: number }[];
  stop(): Promise<void>;
}

export interface TestServerOptions {
  readonly clock?: Clock;
  /** Requests of one address a minute to the public verification routes. */
  readonly burst?: number;
  readonly origin?: string;
  /** Of another server: two API processes over one database. That server drops it. */
  readonly database?: TestDatabase;
  /** Whether each answer is held to the contract; true unless told. */
  readonly validateResponses?: boolean;
}

export async function startTestServer({
  clock = systemClock(),
  burst = 10_000,
  origin = TEST_ORIGIN,
  database: shared,
  validateResponses = true,
}: TestServerOptions = {}): Promise<TestServer> {
  const database = shared ?? (await createTestDatabase());
  const db = database.pool('proofline_api');
  const metrics = createMetrics();
  const groups: { requests: number; proofs: number }[] = [];
  const log = pino({ level: 'error' }, pino.destination(2));
  const waiters = createWaiters(db, (error) => log.error(error));
  const listening = listen(db, ['proofline_done'], (_channel, payload) => waiters.wake(readRing(payload)));
  const app = await createApp({
    db,
    acceptor: createAcceptor({
      intake: database.pool('proofline_intake'),
      onGroup: (requests, proofs) => void groups.push({ requests, proofs }),
    }),
    reads: createReads(db),
    keys: createKeyRing(db, clock, 0),
    waiters,
    verifyLimit: createRateLimiter(clock, burst),
    clock,
    newId: randomUUID,
    newProofId: randomUUID,
    randomBytes: (length) => randomBytes(length),
    log,
    metrics,
    settings: {
      publicUrl: 'https://proofline.test',
      origin,
      temporalUi: { url: 'https://temporal.test', namespace: 'default' },
      validateResponses,
    },
  });
  const server = createApiServer(app, 'https://proofline.test', randomUUID);
  const port = await listenOn(server, '127.0.0.1', 0);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    database,
    app,
    metrics,
    groups,
    async stop() {
      waiters.stop();
      await drain(server, 1_000);
      await listening.stop();
      if (shared === undefined) await database.drop();
    },
  };
}
