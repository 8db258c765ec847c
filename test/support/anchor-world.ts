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
import type { Clock } from '../../domain/clock.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { countAlarms } from '../../store/alarms.ts';
import { type AnchorVerb, requestAnchorCommand } from '../../store/anchor-commands.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { type LedgerKey, newLedgerKey, resolveFrom } from './ledger-keys.ts';
import { BACKOFF, clockOf, insertCheckpoint, newTopicConfig } from './simulated-ledger.ts';

export const ORIGIN = 'log.example/anchors';

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
  /** Origins whose proofs a worker moved, in order. */
  readonly advanced: readonly string[];
  /** Activities of a worker process that has just started. */
  worker(options?: WorkerOptions): LedgerActivities;
  ledger(options?: WorkerOptions): AnchorLedger;
  /** An anchor that a window has just asked for, of a checkpoint with this root. */
  newAnchor(size: number, root?: Uint8Array): Promise<Anchor>;
  /** The steps as the workflow takes them, once. */
  pass(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep>;
  /** Passes until the anchor stands or waits for somebody; what is retryable is tried again, as by the policy. */
  drive(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep>;
  /** Looks for an operator's word about an anchor that is held. */
  settle(activities: LedgerActivities, anchor: Anchor): Promise<AnchorStep>;
  command(verb: AnchorVerb, size: number, distrustedMirrors?: readonly string[]): Promise<void>;
  messages(): readonly { readonly message: Uint8Array; readonly sequenceNumber: bigint }[];
  attempts(size: number): Promise<readonly AttemptRow[]>;
  anchor(size: number): Promise<AnchorRow>;
  entry(size: number): Promise<HcsAnchorEntry>;
  /** Up to which size the log is anchored. */
  anchoredSize(): Promise<bigint>;
  openAlarms(): Promise<readonly string[]>;
  rows(sql: string): Promise<readonly Record<string, unknown>[]>;
}

export interface AttemptRow {
  readonly attempt: number;
  readonly state: string;
  readonly transactionId: string;
}

export interface AnchorRow {
  readonly state: string;
  readonly attempt: number;
  readonly entry: HcsAnchorEntry | null;
  readonly failure: unknown;
}

/** Registers the hooks; what it returns is filled in before each test. */
export function useAnchorWorld({ receiptPatienceMs = 1_000 } = {}): AnchorWorld {
  const world = {} as { -readonly [K in keyof AnchorWorld]: AnchorWorld[K] };
  const keys = { payer: newLedgerKey(), submit: newLedgerKey(), stranger: newLedgerKey(), next: newLedgerKey() };
  const opened: AnchorLedger[] = [];
  const advanced: string[] = [];
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
    const config: LedgerConfig = { ...newTopicConfig(sim, keys), grpcDeadlineMs: 300, requestTimeoutMs: 1_500 };
    advanced.length = 0;
    const ledger = ({ config: changes, fastMs = 0 }: WorkerOptions = {}): AnchorLedger => {
      const made = createHederaLedger({
        config: { ...config, ...changes },
        keys: resolveFrom(keys),
        clock: clockOf(sim, fastMs),
        random: Math.random,
        backoff: BACKOFF,
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
      clock: clockOf(sim),
      mirrors: config.mirrors.map(transport.mirror),
      advanced,
      ledger,
      worker: (options: WorkerOptions = {}) =>
        createLedgerActivities({
          db,
          ledger: ledger(options),
          clock: clockOf(sim, options.fastMs),
          receiptPatienceMs,
          advanceEvidence: async ({ origin }) => {
            advanced.push(origin);
            return false;
          },
          ...(options.requireSetup && { requireSetup: options.requireSetup }),
        }),
      newAnchor: (size: number, root = Buffer.alloc(32, size)) => newAnchor(db, size, root),
      pass,
      drive,
      settle: (activities: LedgerActivities, anchor: Anchor) =>
        activities.settleAnchor({ ...anchor, isRetryAsked: false }),
      command: async (verb: AnchorVerb, size: number, distrustedMirrors: readonly string[] = []) => {
        await requestAnchorCommand(test.pool('proofline_api'), {
          id: randomUUID(),
          medium: 'hcs',
          origin: ORIGIN,
          size: BigInt(size),
          verb,
          actor: 'key:operator',
          reason: 'ticket 1',
          ...(verb === 'retry' ? {} : { evidence: { statement: 'ticket 1', distrustedMirrors } }),
          at: clockOf(sim).nowMicros(),
        });
      },
      messages: () => sim.ledger.state.topics.get(config.topicId)?.messages ?? [],
      attempts: async (size: number) =>
        (
          await db.query(
            'SELECT attempt, state, transaction_id AS "transactionId" FROM anchor_attempts WHERE size = $1 ORDER BY attempt',
            [size],
          )
        ).rows,
      anchor: async (size: number) =>
        (await db.query('SELECT state, attempt, entry, failure FROM anchors WHERE size = $1', [size])).rows[0],
      entry: async (size: number) =>
        (await db.query('SELECT entry FROM anchors WHERE size = $1', [size])).rows[0].entry,
      anchoredSize: async () =>
        (await db.query('SELECT anchored_size FROM log_progress WHERE origin = $1', [ORIGIN])).rows[0].anchored_size,
      openAlarms: async () => Object.entries(await countAlarms(db)).flatMap(([kind, n]) => (n > 0 ? [kind] : [])),
      rows: async (sql: string) => (await db.query(sql)).rows,
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
  await insertCheckpoint(db, ORIGIN, size, root);
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
