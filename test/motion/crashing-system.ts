/** The system on one machine, its workers and its relay in this process, so that they die where they are told to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { ORIGIN } from '../../local/stack/local-parts.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { bundleWorkflows } from '../../workers/bundle.ts';
import { composeActivities } from '../../workers/compose.ts';
import { parseWorkerConfig } from '../../workers/config.ts';
import { startRelay } from '../../workers/relay.ts';
import { startWorkers } from '../../workers/start-workers.ts';
import { createTemporalClient, installRuntime } from '../../workers/temporal.ts';
import { createTestClient, type TestClient } from '../e2e/client.ts';
import { type CrashingDb, createCrashingDb } from './crashing-db.ts';

export interface CrashingSystem {
  readonly stack: Stack;
  /** Where the keys of the licence issuer and the others lie. */
  readonly dataDir: string;
  readonly client: TestClient;
  readonly temporal: Client;
  /** Sees all, and never dies. */
  readonly owner: Db;
  readonly workerSide: CrashingDb;
  readonly relaySide: CrashingDb;
  stop(): Promise<void>;
}

/** Windows of milliseconds, a reconciler every 300 ms with a grace of 500. */
export async function startCrashingSystem(): Promise<CrashingSystem> {
  const closing: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close();
  };
  const dataDir = await mkdtemp(join(tmpdir(), 'proofline-crash-'));
  closing.push(() => rm(dataDir, { recursive: true, force: true }));
  try {
    const stack = await startStack({ dataDir, ports: 'any', logLevel: 'warn', consensusDelayMs: 20 });
    closing.push(() => stack.stop());
    // This process takes their place.
    await stack.parts.get('workers')?.stop();
    await stack.parts.get('relay')?.stop();
    const open = (applicationName: string, max: number): Db => {
      const pool = createPool({ url: stack.info.postgresUrl, max, applicationName, onError: () => undefined });
      closing.push(() => pool.end());
      return pool;
    };
    const owner = open('crash test', 4);
    const workerSide = createCrashingDb(open('crashing workers', 16));
    const relaySide = createCrashingDb(open('crashing relay', 16));
    const temporal = await startHere({ stack, dataDir, owner, workerSide, relaySide, closing });
    return { stack, dataDir, client: createTestClient(stack), temporal, owner, workerSide, relaySide, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startHere(
  parts: Pick<CrashingSystem, 'stack' | 'dataDir' | 'owner' | 'workerSide' | 'relaySide'> & {
    readonly closing: (() => Promise<unknown>)[];
  },
): Promise<Client> {
  const { stack, dataDir, owner, workerSide, relaySide, closing } = parts;
  const { info } = stack;
  const keys = localKeyPaths(join(dataDir, 'keys'));
  const { rows } = await owner.query<{ instance: string }>("SELECT document ->> 'instance' AS instance FROM instance");
  const config = parseWorkerConfig({
    PROOFLINE_DB_WORKER_URL: info.postgresUrl,
    PROOFLINE_TEMPORAL_ADDRESS: info.temporalAddress,
    PROOFLINE_ORIGIN: ORIGIN,
    PROOFLINE_INSTANCE: rows[0]?.instance ?? '',
    PROOFLINE_PUBLIC_URL: info.apiUrl,
    PROOFLINE_SIGNER_URL: info.signerUrl,
    PROOFLINE_SIGNER_CA_FILE: keys.transportCaFile,
    PROOFLINE_SIGNER_CERT_FILE: keys.clients.worker.certFile,
    PROOFLINE_SIGNER_KEY_FILE: keys.clients.worker.keyFile,
    PROOFLINE_SIGNING_ROOTS_FILE: keys.signingRoot.certFile,
    PROOFLINE_TSAS_FILE: join(dataDir, 'tsas.json'),
    PROOFLINE_LEDGER_FILE: join(dataDir, 'ledger.json'),
    PROOFLINE_LICENSE_ISSUERS_FILE: keys.licenseIssuer.jwksFile,
    PROOFLINE_CHECKPOINT_INTERVAL_MS: '20',
    PROOFLINE_TIMESTAMP_WINDOW_MS: '20',
    PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '50',
  });
  const clock = systemClock();
  const logger = pino({ level: 'silent' });
  installRuntime(logger);
  const stopping = new AbortController();
  const composed = await composeActivities({ config, db: workerSide.db, clock, logger, stopping: stopping.signal });
  const connection = await NativeConnection.connect({ address: config.temporalAddress });
  const workers = await startWorkers({
    connection,
    namespace: config.temporalNamespace,
    pools: config.pools,
    activities: composed.activities,
    workflowBundle: await bundleWorkflows(),
    queuePrefix: '',
  });
  const limits = { maxUnsealedBatches: 8, reconcileMs: 300, reconcileGraceMs: 500 };
  const temporal = createTemporalClient({ ...config, ...limits });
  const relay = startRelay({
    db: relaySide.db,
    client: temporal,
    clock,
    newId: () => crypto.randomUUID(),
    logger,
    origin: ORIGIN,
    workflowQueue: 'workflows',
    ...limits,
  });
  closing.push(
    async () => connection.close(),
    async () => composed.close(),
    async () => {
      stopping.abort();
      await workers.stop().catch(() => undefined);
    },
    async () => temporal.connection.close(),
    () => relay.stop(),
  );
  return temporal;
}
