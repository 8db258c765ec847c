/**
 * `npm run ledger-soak -- [--faults 10000] [--seed S] [--minutes 15] [--dry]`: anchors checkpoints over the simulated network, with real
 * Postgres and the unmodified adapter, while nodes, consensus, mirrors and the workers themselves fail. At the end every
 * anchor must stand exactly once. Hours of the ledger's time pass in minutes: pauses move the simulator's clock. Writes
 * its section of bench/RESULTS.md, unless `--dry`. Exit code 1 if an anchor is lost or double, or time ran out.
 */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { AnchorLedger } from '../../activities/ledger/anchor-ledger.ts';
import type { AnchorStep } from '../../activities/ledger/anchor-step.ts';
import { createHederaLedger } from '../../activities/ledger/hedera-ledger.ts';
import { type KeyResolver, parseKeyRef } from '../../activities/ledger/key-resolver.ts';
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { startPostgres } from '../../local/postgres/start-postgres.ts';
import { migrate } from '../../prisma/migrate.ts';
import { type AnchorVerb, requestAnchorCommand } from '../../store/anchor-commands.ts';
import { createPool, type Db } from '../../store/pool.ts';
import type { Section } from '../figure.ts';
import { measureCores } from '../measure-cores.ts';
import { formatTable, writeSection } from '../results.ts';
import { drawFault } from './draw-faults.ts';
import { type MortalWorker, startMortalWorker, WorkerDied } from './mortal-worker.ts';

const ORIGIN = 'log.example/soak';
const DATABASE = 'soak';
/** Passes over one anchor, after which something is wrong with the adapter. */
const MAX_ROUNDS = 400;
const MAX_FAULTS_AT_ONCE = 16;
const DEATHS_IN_TEN = 6;
/** Steps of a worker's life among which it dies. */
const MAX_LIFE = 40;
const CONSENSUS_MS = 2;

interface Tally {
  readonly faults: Map<string, number>;
  injected: number;
  kills: number;
  anchors: number;
  rejected: number;
  suspect: number;
  rounds: number;
}

interface Soak {
  readonly sim: HederaSim;
  readonly db: Db;
  readonly api: Db;
  readonly config: LedgerConfig;
  readonly keys: KeyResolver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly below: (n: number) => number;
  readonly tally: Tally;
  /** Effects of faults that met a call. */
  readonly hit: Set<object>;
  /** The adapter of the worker that ended the anchor before. */
  readonly idle: AnchorLedger[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      faults: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '15' },
      dry: { type: 'boolean', default: false },
    },
  });
  const [wanted, minutes] = [Number(values.faults), Number(values.minutes)];
  if (!Number.isSafeInteger(wanted) || wanted < 1 || !(minutes > 0))
    throw new RangeError('--faults and --minutes are positive numbers');
  const cores = await measureCores();
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  const folder = await mkdtemp(join(tmpdir(), 'proofline-soak-'));
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') });
  const sim = await startHederaSim({
    consensusDelayMs: CONSENSUS_MS,
    mirrorLagMs: 0,
    mirrorCount: 2,
    seed: values.seed,
  });
  const pools: Db[] = [];
  try {
    await postgres.createDatabase(DATABASE);
    await migrate(postgres.url('proofline_owner', DATABASE));
    const pool = (role: 'proofline_worker' | 'proofline_api'): Db => {
      const made = createPool({
        url: postgres.url(role, DATABASE),
        max: 4,
        applicationName: 'soak',
        onError: () => undefined,
      });
      pools.push(made);
      return made;
    };
    const soak = prepareSoak(sim, pool('proofline_worker'), pool('proofline_api'), values.seed);
    const startedMs = performance.now();
    const simStartedMs = sim.clock.nowMs();
    const endMs = startedMs + minutes * 60_000;
    await soak.db.query('INSERT INTO log_progress (origin) VALUES ($1)', [ORIGIN]);
    for (let size = 1; soak.tally.injected < wanted && performance.now() < endMs; size++) {
      await anchorOne(soak, size);
      if (size % 100 === 0) say(soak.tally, startedMs);
    }
    for (const ledger of soak.idle) ledger.close();
    const audit = await auditSoak(soak);
    const seconds = (performance.now() - startedMs) / 1_000;
    const section = describeSoak(soak.tally, audit, {
      seed: values.seed,
      seconds,
      simHours: (sim.clock.nowMs() - simStartedMs) / 3_600_000,
    });
    console.log(`${section.title}\n${formatTable(section.table)}`);
    const isWhole = soak.tally.injected >= wanted;
    if (!isWhole) console.error(`time ran out after ${soak.tally.injected} of ${wanted} faults`);
    const isSound = audit.lost + audit.double + audit.strange === 0;
    if (!isSound || !isWhole) process.exitCode = 1;
    if (isSound && !values.dry) writeSection('ledger-soak', section, { load, cores });
  } finally {
    await Promise.all(pools.map((made) => made.end()));
    await sim.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function prepareSoak(sim: HederaSim, db: Db, api: Db, seed: string): Soak {
  const [payer, submitKey] = [newKey(), newKey()];
  const random = randomFrom(seed);
  const hit = new Set<object>();
  const take = sim.faults.take.bind(sim.faults);
  sim.faults.take = (place, facts) => {
    const effect = take(place, facts);
    if (effect !== undefined) hit.add(effect);
    return effect;
  };
  return {
    hit,
    idle: [],
    sim,
    db,
    api,
    config: {
      kind: 'hedera-hcs/v1',
      network: 'simulator',
      nodes: sim.nodes,
      mirrors: sim.mirrorRestUrls,
      mirrorQuorum: 2,
      topicId: sim.treasury.createTopic({ submitKey: submitKey.publicKey }),
      payerAccountId: sim.treasury.createAccount({ publicKey: payer.publicKey, balanceHbar: 100_000 }),
      payerKeyRef: 'signer://payer',
      submitKeyRef: 'signer://submit',
      maxFeeTinybars: '10000000',
      grpcDeadlineMs: 300,
      requestTimeoutMs: 1_500,
      mirrorTimeoutMs: 600,
    },
    keys: resolveFrom({ payer, submit: submitKey }),
    clock: { nowMs: () => sim.clock.nowMs(), nowMicros: () => toMicros(BigInt(sim.clock.nowMs()) * 1_000n) },
    random,
    below: (n) => Math.floor(random() * n),
    tally: { faults: new Map(), injected: 0, kills: 0, anchors: 0, rejected: 0, suspect: 0, rounds: 0 },
  };
}

/** One checkpoint, driven as its workflow does, until it stands. */
async function anchorOne(soak: Soak, size: number): Promise<void> {
  const { db, sim, below, tally } = soak;
  await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
    ORIGIN,
    size,
    rootOf(size),
    'note',
  ]);
  await db.query(
    `INSERT INTO anchors (origin, size, "window", created_at, updated_at) VALUES ($1, $2, 'express', $3, $3)`,
    [ORIGIN, size, soak.clock.nowMicros()],
  );
  tally.anchors++;
  const armed = Array.from({ length: 1 + below(MAX_FAULTS_AT_ONCE) }, () => drawFault(below));
  for (const { fault } of armed) sim.faults.arm(fault);
  // A mirror that falls behind, for some of the ledger's seconds.
  const lagging = below(4) === 0 ? sim.mirrors[below(sim.mirrors.length)] : undefined;
  if (lagging !== undefined) {
    lagging.lagMs = 1_000 + below(30_000);
    count(tally, 'mirror behind', 1);
  }
  const anchor = { origin: ORIGIN, size: String(size) };
  let worker = newWorker(soak, soak.idle.splice(0)[0]);
  for (let round = 0; ; round++) {
    if (round === MAX_ROUNDS) throw new Error(`anchor ${size} does not come to an end`);
    tally.rounds++;
    if (worker.mortal.isDead()) {
      tally.kills++;
      tally.injected++;
      worker = newWorker(soak, worker.ledger);
    }
    try {
      const step = await pass(worker.mortal, anchor);
      if (step.state === 'VERIFIED') break;
      if (step.isHeld) await decide(soak, worker.mortal, anchor, step);
      // Also after a decision: the mirrors that it rests on may be behind.
      await pause(soak, 1_000 + below(20_000));
    } catch (error) {
      if (!worker.mortal.isDead() && !(error instanceof ProoflineError) && !(error instanceof WorkerDied)) throw error;
      await pause(soak, 1_000 + below(20_000));
    }
  }
  soak.idle.push(worker.ledger);
  sim.faults.clear();
  // What was armed and met nobody was not injected.
  for (const { name, fault } of armed) if (soak.hit.has(fault.effect)) count(tally, name, 1);
  soak.hit.clear();
  if (lagging !== undefined) lagging.lagMs = 0;
}

function count(tally: Tally, name: string, times: number): void {
  tally.faults.set(name, (tally.faults.get(name) ?? 0) + times);
  tally.injected += times;
}

/** Now and then with connections of its own; else over those of the one before, which know nothing of any anchor. */
function newWorker(
  soak: Soak,
  before?: AnchorLedger,
): { readonly mortal: MortalWorker; readonly ledger: AnchorLedger } {
  const { db, config, keys, clock, random, below } = soak;
  const isReused = before !== undefined && below(4) > 0;
  if (!isReused) before?.close();
  const ledger = isReused
    ? before
    : createHederaLedger({ config, keys, clock, random, backoff: { minMs: 1, maxMs: 4 } });
  const death =
    below(10) < DEATHS_IN_TEN
      ? { atStep: 1 + below(MAX_LIFE), when: below(2) === 0 ? ('before' as const) : ('after' as const) }
      : undefined;
  return { ledger, mortal: startMortalWorker({ db, ledger, clock, sleep: (ms) => pause(soak, ms), death }) };
}

/** The steps as the workflow takes them, once. */
async function pass(
  { activities }: MortalWorker,
  anchor: { readonly origin: string; readonly size: string },
): Promise<AnchorStep> {
  let step = await activities.prepareAnchor(anchor);
  if (step.isHeld || step.isAbandoned) return step;
  const key = { ...anchor, attempt: step.attempt };
  if (step.state === 'PREPARED' || step.state === 'REJECTED' || step.state === 'SENT')
    step = await activities.submitAnchor(key);
  if (step.state === 'SENT') step = await activities.awaitAnchorReceipt(key);
  if (step.state === 'CONSENSUS' || step.state === 'CONFIRMED' || step.state === 'VERIFIED')
    step = await activities.confirmAnchor(key);
  return step;
}

/** The operator: a refused anchor is tried again; one that is suspect is accepted without the mirror that lied. */
async function decide(
  { api, sim, clock, tally }: Soak,
  { activities }: MortalWorker,
  anchor: { readonly origin: string; readonly size: string },
  step: AnchorStep,
): Promise<void> {
  const isSuspect = step.state === 'SUSPECT';
  const verb: AnchorVerb = isSuspect ? 'accept' : 'retry';
  if (isSuspect) tally.suspect++;
  else tally.rejected++;
  const liar = sim.mirrorRestUrls[1] ?? '';
  await requestAnchorCommand(api, {
    id: randomUUID(),
    medium: 'hcs',
    origin: anchor.origin,
    size: BigInt(anchor.size),
    verb,
    actor: 'key:operator',
    reason: 'soak',
    ...(isSuspect && { evidence: { statement: 'the other mirror shows what was sent', distrustedMirrors: [liar] } }),
    at: clock.nowMicros(),
  });
  await activities.settleAnchor({ ...anchor, isRetryAsked: false });
}

/** The ledger's time passes; ours only until what is under way has come to consensus. */
async function pause({ sim }: Soak, ms: number): Promise<void> {
  await delay(CONSENSUS_MS + 1);
  sim.clock.advance(Math.ceil(ms));
}

interface Audit {
  /** Anchors that do not stand, or whose message is not on the topic. */
  readonly lost: number;
  /** Messages beside the first of an anchor. */
  readonly double: number;
  /** Messages of no anchor, and entries that name another place than the message has. */
  readonly strange: number;
  readonly messages: number;
  readonly attempts: number;
}

/** Compares Postgres with the topic itself. */
async function auditSoak({ db, sim, config, tally }: Soak): Promise<Audit> {
  const messages = sim.ledger.state.topics.get(config.topicId)?.messages ?? [];
  const places = new Map<string, string[]>();
  for (const { message, sequenceNumber } of messages) {
    const text = Buffer.from(message).toString('ascii');
    places.set(text, [...(places.get(text) ?? []), sequenceNumber.toString()]);
  }
  const { rows } = await db.query<{ size: bigint; state: string; entry: { sequenceNumber: string } | null }>(
    'SELECT size, state, entry FROM anchors WHERE origin = $1 ORDER BY size',
    [ORIGIN],
  );
  const { rows: attempts } = await db.query<{ n: number }>('SELECT count(*)::int AS n FROM anchor_attempts');
  let [lost, double, strange] = [tally.anchors - rows.length, 0, 0];
  for (const { size, state, entry } of rows) {
    const text = buildAnchorMessage({ origin: ORIGIN, size, root: rootOf(Number(size)) });
    const found = places.get(text) ?? [];
    places.delete(text);
    if (state !== 'VERIFIED' || found.length === 0) lost++;
    double += Math.max(0, found.length - 1);
    if (found.length > 0 && entry?.sequenceNumber !== found[0]) strange++;
  }
  strange += [...places.values()].flat().length;
  return { lost, double, strange, messages: messages.length, attempts: attempts[0]?.n ?? 0 };
}

function describeSoak(
  tally: Tally,
  audit: Audit,
  run: { readonly seed: string; readonly seconds: number; readonly simHours: number },
): Section {
  return {
    title: 'Anchoring under faults: nothing lost, nothing double',
    method: `\`npm run ledger-soak -- --faults ${tally.injected} --seed ${run.seed}\`: checkpoints are anchored one after the other over the simulated network (three nodes, two mirrors, both of which must
agree), with the adapter and activities of production and a real Postgres, while calls fail before and after their work is done, consensus throttles or loses, mirrors lag, fail and lie, and
workers die between any two steps of theirs, a query or statement before or after its effect included. Pauses move the simulator's clock. At the end Postgres is compared with the topic.`,
    table: [
      ['', 'count'],
      ['faults injected, kills included', String(tally.injected)],
      ['workers killed', String(tally.kills)],
      ['anchors', String(tally.anchors)],
      ['transactions signed (attempts)', String(audit.attempts)],
      ['messages on the topic', String(audit.messages)],
      ['lost', String(audit.lost)],
      ['double', String(audit.double)],
      ['message without anchor, or at another place than its entry says', String(audit.strange)],
      ['anchors refused and retried by the operator', String(tally.rejected)],
      ['anchors suspect and accepted by the operator', String(tally.suspect)],
    ],
    notes: [
      `${run.simHours.toFixed(1)} hours of the ledger in ${run.seconds.toFixed(0)} s; ${tally.rounds} passes over the steps.`,
      `Injected, by kind: ${[...tally.faults].map(([name, times]) => `${name} ${times}`).join(', ')}. A fault counts once, however many calls it hits, and only if it hit one.`,
    ],
  };
}

function say(tally: Tally, startedMs: number): void {
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  console.log(`${seconds} s: ${tally.anchors} anchors, ${tally.injected} faults, ${tally.kills} kills`);
}

function rootOf(size: number): Uint8Array {
  const root = Buffer.alloc(32, 1);
  root.writeUInt32BE(size, 0);
  return root;
}

interface Key {
  readonly privateKey: KeyObject;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
}

function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)) };
}

function resolveFrom(keys: Readonly<Record<string, Key>>): KeyResolver {
  return {
    async resolve(keyRef) {
      const { kid = '' } = parseKeyRef(keyRef) ?? {};
      const key = keys[kid];
      if (key === undefined) throw new ProoflineError('SIGNER_KEY_NOT_ACTIVE', keyRef);
      const { publicKey, privateKey } = key;
      return {
        keyRef: `signer://${kid}@1`,
        publicKey,
        sign: async (bodies) => bodies.map((body) => sign(null, body, privateKey)),
      };
    },
  };
}

/** Numbers in [0, 1) that follow from the seed (mulberry32). */
function randomFrom(seed: string): () => number {
  let state = [...seed].reduce((sum, letter) => (Math.imul(sum, 31) + (letter.codePointAt(0) ?? 0)) >>> 0, 0x9e3779b9);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

await main();
