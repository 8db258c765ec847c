import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { systemClock } from '../../domain/clock.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { ORIGIN } from '../../local/stack/local-parts.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { bundleWorkflows } from '../../workers/bundle.ts';
import { type Composed, composeActivities } from '../../workers/compose.ts';
import { parseWorkerConfig } from '../../workers/config.ts';
import { HOLD_MS } from '../../workers/form-batches.ts';
import { startRelay } from '../../workers/relay.ts';
import { type RunningWorkers, startWorkers } from '../../workers/start-workers.ts';
import { createTemporalClient, installRuntime } from '../../workers/temporal.ts';
import { createTestClient, type TestClient } from '../e2e/client.ts';
import { type CrashingDb, createCrashingDb } from './crashing-db.ts';

const PROOFS = 3;

const clock = systemClock();
let dataDir: string;
let stack: Stack;
let client: TestClient;
let owner: Db;
const closing: (() => Promise<unknown>)[] = [];
let workerSide: CrashingDb;
let relaySide: CrashingDb;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-crash-'));
  stack = await startStack({ dataDir, ports: 'any', logLevel: 'warn', consensusDelayMs: 20 });
  // This process takes their place, so that it can die where it is told to.
  await stack.parts.get('workers')?.stop();
  await stack.parts.get('relay')?.stop();
  client = createTestClient(stack);
  owner = createPool({ url: stack.info.postgresUrl, max: 2, applicationName: 'crash test', onError: () => undefined });
  const { rows } = await owner.query<{ instance: string }>("SELECT document ->> 'instance' AS instance FROM instance");
  await startHere(rows[0]?.instance ?? '');
}, 120_000);

afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await owner?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

async function startHere(instance: string): Promise<void> {
  const { info } = stack;
  const keys = localKeyPaths(join(dataDir, 'keys'));
  const config = parseWorkerConfig({
    PROOFLINE_DB_WORKER_URL: info.postgresUrl,
    PROOFLINE_TEMPORAL_ADDRESS: info.temporalAddress,
    PROOFLINE_ORIGIN: ORIGIN,
    PROOFLINE_INSTANCE: instance,
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
  const crashing = (name: string): CrashingDb => {
    const pool = createPool({ url: config.dbUrl, max: 16, applicationName: name, onError: () => undefined });
    closing.push(() => pool.end());
    return createCrashingDb(pool);
  };
  workerSide = crashing('crashing workers');
  relaySide = crashing('crashing relay');
  const logger = pino({ level: 'silent' });
  installRuntime(logger);
  const stopping = new AbortController();
  const composed: Composed = await composeActivities({
    config,
    db: workerSide.db,
    clock,
    logger,
    stopping: stopping.signal,
  });
  const connection = await NativeConnection.connect({ address: config.temporalAddress });
  const workers: RunningWorkers = await startWorkers({
    connection,
    namespace: config.temporalNamespace,
    pools: config.pools,
    activities: composed.activities,
    workflowBundle: await bundleWorkflows(),
    queuePrefix: '',
  });
  const temporal = createTemporalClient({ ...config, maxUnsealedBatches: 8, reconcileMs: 300, reconcileGraceMs: 500 });
  const relay = startRelay({
    db: relaySide.db,
    client: temporal,
    clock,
    newId: () => crypto.randomUUID(),
    logger,
    origin: ORIGIN,
    workflowQueue: 'workflows',
    maxUnsealedBatches: 8,
    reconcileMs: 300,
    reconcileGraceMs: 500,
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
}

const MAX_TRIES = 4;
const CLOSED = "SELECT FROM batches b JOIN submissions s ON s.batch_id = b.id WHERE s.id = $1 AND b.state = 'CLOSED'";

/**
 * Submits, lets the process die of that commit and begin anew; all ends well nevertheless. A batch formed soon after
 * another stays open to joiners, and its evidence may be complete before it is shut: then nobody owes it a wake, and one
 * that is formed after a rest is tried.
 */
async function expectToOutlive(side: CrashingDb, isFatal: (tables: readonly string[]) => boolean): Promise<void> {
  side.arm(isFatal);
  let id = '';
  for (let tries = 0; tries < MAX_TRIES && !side.isDead(); tries++) {
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
    ({ id } = await client.submitMany(PROOFS, '?anchorPolicy=REQUIRED'));
    for (const deadline = Date.now() + 20_000; !side.isDead(); ) {
      if (Date.now() > deadline) throw new Error('it neither died nor came to its end');
      if (((await owner.query(CLOSED, [id])).rowCount ?? 0) > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  if (!side.isDead()) throw new Error('it did not die: there is no such commit');
  side.revive();
  expect((await client.untilFinal(id, 40_000)).states).toEqual({ CERTIFIED: PROOFS });
  const { rows } = await owner.query(
    `SELECT count(*)::int AS proofs, count(DISTINCT l.index)::int AS leaves, count(DISTINCT c.number)::int AS certificates, count(DISTINCT k.proof_id)::int AS units
     FROM proofs p JOIN leaves l ON l.proof_id = p.id JOIN certificates c ON c.proof_id = p.id AND c.jws IS NOT NULL JOIN licence_consumptions k ON k.proof_id = p.id
     WHERE p.submission_id = $1`,
    [id],
  );
  expect(rows[0]).toEqual({ proofs: PROOFS, leaves: PROOFS, certificates: PROOFS, units: PROOFS });
}

const changes =
  (...wanted: readonly string[]) =>
  (tables: readonly string[]): boolean =>
    wanted.every((name) => (name.startsWith('!') ? !tables.includes(name.slice(1)) : tables.includes(name)));

/** Lets the first `n` pass. */
function past(n: number, isFatal: (tables: readonly string[]) => boolean): (tables: readonly string[]) => boolean {
  let passed = 0;
  return (tables) => isFatal(tables) && ++passed > n;
}

describe('a crash right after the commit', () => {
  it.each([
    ['that freezes statements', changes('seals', '!proofs')],
    ['that keeps seals and queues leaves', changes('seals', 'leaf_queue')],
    ['that takes leaves into the tree, its head unsigned', changes('log_head', '!checkpoints')],
    ['that publishes a checkpoint', changes('checkpoints')],
    ['that keeps a token', changes('timestamps')],
    ['that applies a timestamp', changes('timeline', 'log_progress')],
    ['that closes an anchor window', changes('anchors', 'outbox')],
    ['that keeps the signed bytes of an anchor', changes('anchor_attempts')],
    ['that keeps that an anchor was sent', past(1, changes('anchor_attempts'))],
    ['that keeps the receipt of an anchor', past(2, changes('anchor_attempts'))],
    ['that applies an anchor and owes the wake', changes('log_progress', 'timeline', 'outbox')],
    ['that queues proofs for their licence', changes('licence_queue', '!licence_consumptions')],
    ['that consumes units and drafts certificates', changes('licence_consumptions')],
    ['that keeps certificates', changes('certificates', 'proofs')],
    ['that closes the batch', past(1, changes('batches', '!log_head', '!seals', '!log_progress'))],
  ])('%s loses nothing and does nothing twice', (_what, isFatal) => expectToOutlive(workerSide, isFatal), 90_000);

  it.each([
    ['that forms a batch and owes its start', changes('submission_queue', 'batches')],
    ['that strikes out what was delivered', changes('outbox', '!batches')],
  ])('%s loses nothing and does nothing twice', (_what, isFatal) => expectToOutlive(relaySide, isFatal), 90_000);

  it('leaves nothing open behind', async () => {
    const OPEN =
      "SELECT (SELECT count(*)::int FROM batches WHERE state <> 'CLOSED') + (SELECT count(*)::int FROM outbox) + (SELECT count(*)::int FROM anchors WHERE state <> 'VERIFIED') AS n";
    for (const deadline = Date.now() + 30_000; ; ) {
      const { rows } = await owner.query<{ n: number }>(OPEN);
      if (rows[0]?.n === 0) return;
      expect(Date.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }, 60_000);
});
