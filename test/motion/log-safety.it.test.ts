import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { requireNoRollback } from '../../activities/integration/require-no-rollback.ts';
import { type IntegrationDeps, runIntegration } from '../../activities/integration/run-integration.ts';
import { createSignerClient, type Signer } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { type RunningSigner, startSigner } from '../../local/signer/start-signer.ts';
import { verifyConsistency } from '../../log/tree.ts';
import { readConsistencyProof, readLatestCheckpoint } from '../../store/log.read.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const clock = systemClock();
const INTEGRATOR = fileURLToPath(new URL('./integrator.ts', import.meta.url));
const BATCH = '00000000-0000-4000-8000-000000000001';

let dir: string;
let server: RunningSigner;
let signer: Signer;
let database: TestDatabase;
let db: Db;
let origin: string;
let logs = 0;
let leaves = 0;
const children: ChildProcess[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-log-safety-'));
  await startOver();
});
beforeEach(async () => {
  database = await createTestDatabase();
  db = database.pool('proofline_worker');
  await db.query(
    "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at, state) VALUES ($1, 'REQUIRED', 'express', 1, now(), 'SEALED')",
    [BATCH],
  );
  origin = `safety.example/${++logs}`;
  leaves = 0;
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await database.drop();
});
afterAll(async () => {
  await signer.close();
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

async function startOver(): Promise<void> {
  server = await startSigner({ dir, clock });
  signer = createSignerClient({
    url: server.url,
    caFile: server.keys.transportCaFile,
    ...server.keys.clients.worker,
    clock,
  });
}

async function enqueue(count: number): Promise<void> {
  await db.query('UPDATE batches SET leaves_pending = leaves_pending + $2 WHERE id = $1', [BATCH, count]);
  await db.query(
    `INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf)
     SELECT gen_random_uuid(), $1, $1, sha256(convert_to((n + $2)::text, 'UTF8')) FROM generate_series(1, $3::int) n`,
    [BATCH, leaves, count],
  );
  leaves += count;
}

/** The database as it is now, restored beside it. */
async function takeDump(): Promise<TestDatabase> {
  const dump = await database.copy();
  db = database.pool('proofline_worker');
  return dump;
}

interface Integrator {
  readonly stopped: Promise<void>;
  goOn(): void;
  /** Ends it; its report, or the code it failed with. */
  end(): Promise<Record<string, unknown>>;
}

function startIntegrator(stopAt?: 'transaction' | 'commit'): Integrator {
  const { url, keys } = server;
  const settings = {
    dbUrl: database.url('proofline_worker'),
    origin,
    signer: { url, caFile: keys.transportCaFile, ...keys.clients.worker },
  };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', INTEGRATOR], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      SETTINGS: JSON.stringify(settings),
      SIZE: String(leaves),
      ...(stopAt !== undefined && { STOP_AT: stopAt }),
    },
  });
  children.push(child);
  const stopped = Promise.withResolvers<void>();
  const report = Promise.withResolvers<Record<string, unknown>>();
  createInterface({ input: child.stdout }).on('line', (line) =>
    line === 'stopped' ? stopped.resolve() : report.resolve(JSON.parse(line)),
  );
  return {
    stopped: stopped.promise,
    goOn: () => void child.kill('SIGCONT'),
    end() {
      child.kill('SIGTERM');
      return report.promise;
    },
  };
}

async function untilPublished(size: number): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; ) {
    const latest = await readLatestCheckpoint(db, origin);
    if (latest?.size === BigInt(size)) return;
    if (Date.now() > deadline) throw new Error(`published ${latest?.size}, expected ${size}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Each published checkpoint extends the one before. */
async function expectOneLog(): Promise<void> {
  const { rows } = await db.query<{ size: bigint; root: Uint8Array }>(
    'SELECT size, root FROM checkpoints ORDER BY size',
  );
  for (const [i, second] of rows.entries()) {
    const first = rows[i - 1];
    if (first === undefined) continue;
    const proof = await readConsistencyProof(db, first.size, second.size);
    const claim = { first: first.size, firstRoot: first.root, second: second.size, secondRoot: second.root, proof };
    expect(verifyConsistency(claim)).toBe(true);
  }
  const { rows: stored } = await db.query(
    'SELECT count(DISTINCT proof_id)::int AS n, max(index)::int + 1 AS size FROM leaves',
  );
  expect(stored[0]).toEqual({ n: leaves, size: leaves });
}

const depsOf = (extra: Partial<IntegrationDeps> = {}): IntegrationDeps => ({
  db,
  signer,
  origin,
  clock,
  logger: { info() {}, warn() {} },
  checkpointIntervalMs: 20,
  ...extra,
});

/** An integrator in this process until the log has `size` leaves. */
async function integrateUpTo(size: number): Promise<void> {
  const abort = new AbortController();
  const running = runIntegration(depsOf(), { signal: abort.signal, heartbeat() {} });
  await Promise.race([untilPublished(size), running]);
  abort.abort();
  await running;
}

describe('of two integrators, one that is stopped (SIGSTOP)', () => {
  it.each([
    ['inside its transaction loses its locks to the other, and what it took with them', 'transaction'],
    ['between its commit and the signature is overtaken, and goes on without an alarm', 'commit'],
  ] as const)(
    '%s',
    async (_what, stopAt) => {
      await enqueue(5);
      const first = startIntegrator(stopAt);
      await first.stopped;
      const second = startIntegrator();
      await untilPublished(5);
      await enqueue(7);
      await untilPublished(12);
      first.goOn();
      await enqueue(4);
      await untilPublished(16);
      await second.end();
      await enqueue(3);
      // The first works again, alone.
      await untilPublished(19);
      expect(await first.end()).toMatchObject({ size: '19' });
      await expectOneLog();
    },
    60_000,
  );
});

describe('an old dump, restored behind a published checkpoint', () => {
  it('stops the log, and nothing is signed', async () => {
    await enqueue(5);
    await integrateUpTo(5);
    const dump = await takeDump();
    await enqueue(4);
    await integrateUpTo(9);
    const signed = await signer.lastCheckpoint(origin);
    const restored = dump.pool('proofline_worker');
    try {
      const running = runIntegration(depsOf({ db: restored }), {
        signal: new AbortController().signal,
        heartbeat() {},
      });
      await expect(running).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
      expect((await readLatestCheckpoint(restored, origin))?.size).toBe(5n);
      expect(await signer.lastCheckpoint(origin)).toEqual(signed);
    } finally {
      await dump.drop();
    }
  }, 60_000);
});

describe('a signer that lost its memory of the log', () => {
  /** Begins anew with the same keys; the tree that it signed of this log is nowhere but on the ledger. */
  async function forget(): Promise<{ size: bigint; root: Uint8Array }> {
    const last = await readLatestCheckpoint(db, origin);
    await signer.close();
    await server.stop();
    await rm(join(server.keys.signerDir, 'log-memory.json'));
    await startOver();
    if (last === undefined || (await signer.lastCheckpoint(origin)) !== undefined) throw new Error('nothing to forget');
    return { size: last.size, root: last.root };
  }

  it('vouches again once the head extends the newest anchor on the ledger', async () => {
    await enqueue(6);
    await integrateUpTo(6);
    const anchored = await forget();
    await enqueue(2);
    const abort = new AbortController();
    const running = runIntegration(depsOf({ newestAnchor: async () => anchored }), {
      signal: abort.signal,
      heartbeat() {},
    });
    await Promise.race([untilPublished(8), running]);
    abort.abort();
    await running;
    await expectOneLog();
  }, 60_000);

  it('does not let an old dump pass: the ledger has the larger tree', async () => {
    await enqueue(3);
    await integrateUpTo(3);
    const dump = await takeDump();
    await enqueue(4);
    await integrateUpTo(7);
    const anchored = await forget();
    const restored = dump.pool('proofline_worker');
    try {
      await expect(
        requireNoRollback({ db: restored, signer, origin, newestAnchor: async () => anchored }),
      ).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
    } finally {
      await dump.drop();
    }
  }, 60_000);

  it('does not let another tree of the same size pass', async () => {
    await enqueue(3);
    await integrateUpTo(3);
    const anchored = await forget();
    const root = Uint8Array.from(anchored.root, (byte) => byte ^ 1);
    await expect(
      requireNoRollback({ db, signer, origin, newestAnchor: async () => ({ size: 3n, root }) }),
    ).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
  }, 60_000);

  it('has the log wait for the ledger, while a signer that remembers does not', async () => {
    const newestAnchor = async (): Promise<never> => {
      throw new ProoflineError('LEDGER_UNAVAILABLE');
    };
    await enqueue(3);
    await integrateUpTo(3);
    await requireNoRollback({ db, signer, origin, newestAnchor });
    await forget();
    await expect(requireNoRollback({ db, signer, origin, newestAnchor })).rejects.toMatchObject({
      code: 'LEDGER_UNAVAILABLE',
    });
  }, 60_000);
});
