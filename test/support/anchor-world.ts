/** A database, a simulated network and as many workers as a test asks for; one of each per test file, fresh per test. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { createLedgerActivities, type LedgerActivities } from '../../activities/ledger/anchor-activities.ts';
import type { AnchorLedger } from '../../activities/ledger/anchor-ledger.ts';
import type { AnchorStep } from '../../activities/ledger/anchor-step.ts';
import { createHederaLedger } from '../../activities/ledger/hedera-ledger.ts';
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import {
  createMirrorTransport,
  type MirrorClient,
  type MirrorTransport,
} from '../../activities/ledger/mirror-client.ts';
import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { type AnchorVerb, requestAnchorCommand } from '../../store/anchor-commands.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { type LedgerKey, newLedgerKey, resolveFrom } from './ledger-keys.ts';

export const ORIGIN = 'log.example/acceptance';

/** A test that drives an anchor longer than this waits for what does not come. */
const DRIVE_MS = 8_000;

export type Anchor = { readonly origin: string; readonly size: string };

export interface WorkerOptions {
  readonly config?: Partial<LedgerConfig>;
  /** Of this worker's clock, against the network's. */
  readonly fastMs?: number;
  readonly requireSetup?: () => void;
}

export interface AnchorWorld {
  readonly test: TestDatabase;
  readonly db: Db;
  readonly sim: HederaSim;
  readonly config: LedgerConfig;
  readonly keys: Readonly<Record<'payer' | 'submit' | 'stranger' | 'next', LedgerKey>>;
  readonly clock: Clock;
  readonly mirrors: readonly MirrorClient[];
  /** Activities of a worker process that has just started. */
  worker(options?: WorkerOptions): LedgerActivities;
  ledger(options?: WorkerOptions): AnchorLedger;
  /** An anchor that a window has just asked for, of a checkpoint with this root. */
  newAnchor(size: number, root?: Uint8Array): Promise<Anchor>;
  /** The steps as the workflow takes them, once. */
  pass(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep>;
  /** Passes until the anchor stands or waits for somebody; what is retryable is tried again, as by the policy. */
  drive(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep>;
  command(verb: AnchorVerb, size: number, distrustedMirrors?: readonly string[]): Promise<void>;
  messages(): readonly { readonly message: Uint8Array; readonly sequenceNumber: bigint }[];
  attempts(size: number): Promise<readonly { readonly state: string; readonly transactionId: string }[]>;
  entry(size: number): Promise<HcsAnchorEntry>;
}

/** Registers the hooks; what it returns is filled in before each test. */
export function useAnchorWorld(): AnchorWorld {
  const world = {} as { -readonly [K in keyof AnchorWorld]: AnchorWorld[K] };
  const keys = { payer: newLedgerKey(), submit: newLedgerKey(), stranger: newLedgerKey(), next: newLedgerKey() };
  const opened: AnchorLedger[] = [];
  let test: TestDatabase;
  let transport: MirrorTransport;

  beforeAll(async () => {
    test = await createTestDatabase();
  });
  afterAll(() => test.drop());

  beforeEach(async () => {
    const db = test.pool('proofline_worker');
    await test
      .pool('proofline_owner')
      .query(
        'TRUNCATE anchors, anchor_attempts, anchor_commands, topic_cursors, alarms, outbox, checkpoints, log_progress CASCADE',
      );
    await db.query('INSERT INTO log_progress (origin) VALUES ($1)', [ORIGIN]);
    const sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 2 });
    transport = createMirrorTransport(2_000);
    const config: LedgerConfig = {
      kind: 'hedera-hcs/v1',
      network: 'simulator',
      nodes: sim.nodes,
      mirrors: sim.mirrorRestUrls,
      mirrorQuorum: 2,
      topicId: sim.treasury.createTopic({ submitKey: keys.submit.publicKey }),
      payerAccountId: sim.treasury.createAccount({ publicKey: keys.payer.publicKey, balanceHbar: 100 }),
      payerKeyRef: 'signer://payer',
      submitKeyRef: 'signer://submit',
      maxFeeTinybars: '10000000',
      grpcDeadlineMs: 300,
      requestTimeoutMs: 1_500,
    };
    const clockOf = (fastMs: number): Clock => ({
      nowMs: () => sim.clock.nowMs() + fastMs,
      nowMicros: () => toMicros(BigInt(sim.clock.nowMs() + fastMs) * 1_000n),
    });
    const ledger = ({ config: changes, fastMs = 0 }: WorkerOptions = {}): AnchorLedger => {
      const made = createHederaLedger({
        config: { ...config, ...changes },
        keys: resolveFrom(keys),
        clock: clockOf(fastMs),
        random: Math.random,
        backoff: { minMs: 5, maxMs: 20 },
      });
      opened.push(made);
      return made;
    };
    Object.assign(world, {
      test,
      db,
      sim,
      config,
      keys,
      clock: clockOf(0),
      mirrors: config.mirrors.map(transport.mirror),
      ledger,
      worker: (options: WorkerOptions = {}) =>
        createLedgerActivities({
          db,
          ledger: ledger(options),
          clock: clockOf(options.fastMs ?? 0),
          receiptPatienceMs: 1_000,
          advanceEvidence: async () => false,
          ...(options.requireSetup && { requireSetup: options.requireSetup }),
        }),
      newAnchor: (size: number, root = Buffer.alloc(32, size)) => newAnchor(db, size, root),
      pass,
      drive,
      command: (verb: AnchorVerb, size: number, distrustedMirrors: readonly string[] = []) =>
        requestAnchorCommand(test.pool('proofline_api'), {
          id: randomUUID(),
          origin: ORIGIN,
          size: BigInt(size),
          verb,
          actor: 'key:operator',
          reason: 'ticket 1',
          ...(verb === 'retry' ? {} : { evidence: { statement: 'ticket 1', distrustedMirrors } }),
          at: clockOf(0).nowMicros(),
        }),
      messages: () => sim.ledger.state.topics.get(config.topicId)?.messages ?? [],
      attempts: async (size: number) =>
        (
          await db.query(
            'SELECT state, transaction_id AS "transactionId" FROM anchor_attempts WHERE size = $1 ORDER BY attempt',
            [size],
          )
        ).rows,
      entry: async (size: number) =>
        (await db.query('SELECT entry FROM anchors WHERE size = $1', [size])).rows[0].entry,
    } satisfies AnchorWorld);
  });
  afterEach(async () => {
    for (const ledger of opened.splice(0)) ledger.close();
    transport.close();
    await world.sim.stop();
  });
  return world;
}

async function newAnchor(db: Db, size: number, root: Uint8Array): Promise<Anchor> {
  await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
    ORIGIN,
    size,
    root,
    'note',
  ]);
  await db.query(
    `INSERT INTO anchors (origin, size, "window", created_at, updated_at) VALUES ($1, $2, 'express', now(), now())`,
    [ORIGIN, size],
  );
  return { origin: ORIGIN, size: String(size) };
}

async function pass(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep> {
  const prepared = await activities.prepareAnchor(anchor);
  if (prepared.isHeld || prepared.isAbandoned) return prepared;
  const key = { ...anchor, attempt: prepared.attempt };
  let step: AnchorStep = prepared;
  if (['PREPARED', 'REJECTED', 'SENT'].includes(step.state)) step = await activities.submitAnchor(key);
  if (step.state === 'SENT') step = await activities.awaitAnchorReceipt(key);
  return ['CONSENSUS', 'CONFIRMED', 'VERIFIED'].includes(step.state) ? activities.confirmAnchor(key) : step;
}

async function drive(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep> {
  for (const until = performance.now() + DRIVE_MS; performance.now() < until; ) {
    const step = await pass(activities, anchor).catch((error: unknown) => {
      const { code } = error as { code?: string };
      if (code !== 'LEDGER_NOT_CONFIRMED' && code !== 'LEDGER_UNAVAILABLE') throw error;
      return undefined;
    });
    if (step !== undefined && (step.state === 'VERIFIED' || step.isHeld || step.isAbandoned)) return step;
  }
  throw new Error(`the anchor of ${anchor.size} neither stands nor waits for anybody`);
}
