import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AnchorEntry } from '../../domain/bundle.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { newLedgerKey, resolveFrom } from '../../test/support/ledger-keys.ts';
import { type AnchorStep, createLedgerActivities, type LedgerActivities } from './anchor-activities.ts';
import type { AnchorLedger } from './anchor-ledger.ts';
import { createHederaLedger } from './hedera-ledger.ts';
import type { LedgerConfig } from './ledger-config.ts';

const ORIGIN = 'log.example/anchors';
const keys = { payer: newLedgerKey(), submit: newLedgerKey(), stranger: newLedgerKey() };

let test: TestDatabase;
let db: Db;
let sim: HederaSim;
let config: LedgerConfig;
const opened: AnchorLedger[] = [];
const advanced: string[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
});
afterAll(() => test.drop());

beforeEach(async () => {
  await test.pool('proofline_owner').query('TRUNCATE anchors, anchor_attempts, checkpoints, log_progress CASCADE');
  await db.query('INSERT INTO log_progress (origin) VALUES ($1)', [ORIGIN]);
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 2 });
  config = {
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
    grpcDeadlineMs: 200,
    requestTimeoutMs: 1_000,
  };
  advanced.length = 0;
});

afterEach(async () => {
  for (const ledger of opened.splice(0)) ledger.close();
  await sim.stop();
});

const clock: Clock = { nowMs: () => sim.clock.nowMs(), nowMicros: () => toMicros(BigInt(sim.clock.nowMs()) * 1_000n) };

/** Activities of a worker that has just started. */
function worker(changes: Partial<LedgerConfig> = {}): LedgerActivities {
  const ledger = createHederaLedger({
    config: { ...config, ...changes },
    keys: resolveFrom(keys),
    clock,
    random: Math.random,
    backoff: { minMs: 5, maxMs: 20 },
  });
  opened.push(ledger);
  return createLedgerActivities({
    db,
    ledger,
    clock,
    receiptPatienceMs: 1_500,
    advanceEvidence: async ({ origin }) => {
      advanced.push(origin);
      return false;
    },
  });
}

/** An anchor that a window has just asked for. */
async function newAnchor(size: number): Promise<{ origin: string; size: string }> {
  const root = Buffer.alloc(32, size);
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

async function anchorRow(
  size: number,
): Promise<{ state: string; attempt: number; entry: AnchorEntry | null; failure: unknown }> {
  const { rows } = await db.query(
    'SELECT state, attempt, entry, failure FROM anchors WHERE origin = $1 AND size = $2',
    [ORIGIN, size],
  );
  return rows[0];
}

async function attemptRows(size: number): Promise<{ attempt: number; state: string; transaction_id: string }[]> {
  const { rows } = await db.query(
    'SELECT attempt, state, transaction_id FROM anchor_attempts WHERE origin = $1 AND size = $2 ORDER BY attempt',
    [ORIGIN, size],
  );
  return rows;
}

const anchoredSize = async (): Promise<bigint> =>
  (await db.query('SELECT anchored_size FROM log_progress WHERE origin = $1', [ORIGIN])).rows[0].anchored_size;
const messages = () => sim.ledger.state.topics.get(config.topicId)?.messages ?? [];

/** The steps as the workflow takes them, once. */
async function pass(activities: LedgerActivities, anchor: { origin: string; size: string }): Promise<AnchorStep> {
  const { attempt } = await activities.prepareAnchor(anchor);
  const key = { ...anchor, attempt };
  let step = await activities.submitAnchor(key);
  if (step.state === 'SENT') step = await activities.awaitAnchorReceipt(key);
  return step.state === 'CONSENSUS' ? activities.confirmAnchor(key) : step;
}

describe('an anchor in Postgres and on the ledger', () => {
  it('ends with its entry, the size that it covers, and the proofs moved', async () => {
    const anchor = await newAnchor(7);
    expect(await pass(worker(), anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await anchorRow(7);
    if (entry === null) throw new Error('no entry');
    expect(state).toBe('VERIFIED');
    expect(parseAnchorMessage(entry.message)).toMatchObject({ size: 7n, root: Uint8Array.from(Buffer.alloc(32, 7)) });
    expect(findAnchorEntryFault(entry)).toBeUndefined();
    expect(await anchoredSize()).toBe(7n);
    expect(advanced).toEqual([ORIGIN]);
  });

  it('is prepared once, whoever asks and how often', async () => {
    const anchor = await newAnchor(1);
    const [one, other] = [worker(), worker()];
    await Promise.all([one.prepareAnchor(anchor), other.prepareAnchor(anchor), one.prepareAnchor(anchor)]);
    expect(await attemptRows(1)).toEqual([expect.objectContaining({ attempt: 1, state: 'PREPARED' })]);
  });

  it('is one message when workers die before sending, after sending, and after consensus', async () => {
    const anchor = await newAnchor(1);
    const { attempt } = await worker().prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    // Sent, but the worker dies before it says so.
    sim.faults.arm({ at: 'ingest', effect: { grpc: 1, when: 'after' } });
    await worker().submitAnchor(key);
    await db.query(`UPDATE anchor_attempts SET state = 'PREPARED'`);
    expect(await worker().submitAnchor(key)).toMatchObject({ state: 'SENT' });
    expect(await worker().awaitAnchorReceipt(key)).toMatchObject({ state: 'CONSENSUS' });
    expect(await worker().submitAnchor(key)).toEqual({ attempt: 1, state: 'CONSENSUS' });
    expect(await worker().confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
    expect(await worker().confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
    expect(messages()).toHaveLength(1);
    expect(await attemptRows(1)).toHaveLength(1);
  });

  it('is one message, of a second attempt, when every node was down until the first had expired', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    const nodes = Object.values(sim.nodes);
    for (const node of nodes) sim.stopNode(node);
    const { attempt } = await activities.prepareAnchor(anchor);
    expect(await activities.submitAnchor({ ...anchor, attempt })).toMatchObject({
      state: 'SENT',
      status: 'OUTCOME_UNKNOWN',
    });
    await Promise.all(nodes.map((node) => sim.startNode(node)));
    sim.clock.advance(110_000);
    await expect(activities.awaitAnchorReceipt({ ...anchor, attempt })).rejects.toMatchObject({
      code: 'LEDGER_NOT_CONFIRMED',
    });
    sim.clock.advance(10_000);
    expect(await activities.awaitAnchorReceipt({ ...anchor, attempt })).toMatchObject({
      state: 'EXPIRED',
      status: 'PROVEN_ABSENT',
    });
    expect(await pass(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(messages()).toHaveLength(1);
    const [first, second] = await attemptRows(1);
    expect([first?.state, second?.state]).toEqual(['EXPIRED', 'VERIFIED']);
    expect(first?.transaction_id).not.toBe(second?.transaction_id);
  });

  it('asks for the same bytes again when they got lost while they are valid', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    sim.faults.arm({ at: 'consensus', effect: { drop: true } });
    expect(await pass(activities, anchor)).toEqual({ attempt: 1, state: 'SENT', status: 'RESEND' });
    expect(await activities.prepareAnchor(anchor)).toEqual({ attempt: 1, state: 'SENT' });
  });

  it('is sent again soon after an outage in which nobody could tell whether it arrived', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    const nodes = Object.values(sim.nodes);
    for (const node of nodes) sim.stopNode(node);
    expect(await pass(activities, anchor)).toEqual({ attempt: 1, state: 'SENT', status: 'RESEND' });
    expect(await anchorRow(1)).toMatchObject({ state: 'SENT', failure: { status: 'OUTCOME_UNKNOWN' } });
    await Promise.all(nodes.map((node) => sim.startNode(node)));
    let step = await pass(activities, anchor);
    while (step.status === 'RESEND') step = await pass(activities, anchor);
    expect(step).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(messages()).toHaveLength(1);
    expect(await anchorRow(1)).toMatchObject({ state: 'VERIFIED', failure: null });
  });

  it('gets a second attempt after it was throttled at consensus', async () => {
    const anchor = await newAnchor(1);
    sim.faults.arm({ at: 'consensus', effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    expect(await pass(worker(), anchor)).toEqual({ attempt: 1, state: 'EXPIRED', status: 'THROTTLED_AT_CONSENSUS' });
    expect(await pass(worker(), anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(messages()).toHaveLength(1);
  });

  it('is rejected for an empty account and goes on with the same bytes once it is filled', async () => {
    const anchor = await newAnchor(1);
    const poor = sim.treasury.createAccount({ publicKey: keys.payer.publicKey, balanceHbar: 0 });
    const activities = worker({ payerAccountId: poor });
    expect(await pass(activities, anchor)).toEqual({
      attempt: 1,
      state: 'REJECTED',
      status: 'INSUFFICIENT_PAYER_BALANCE',
    });
    expect(await anchorRow(1)).toMatchObject({ state: 'REJECTED', failure: { status: 'INSUFFICIENT_PAYER_BALANCE' } });
    const account = sim.ledger.state.accounts.get(poor);
    if (account === undefined) throw new Error('no account');
    account.balanceTinybars = 100_000_000n;
    expect(await pass(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(await anchorRow(1)).toMatchObject({ state: 'VERIFIED', failure: null });
  });

  it('waits for a person when it failed at consensus, and gets a second attempt then', async () => {
    const anchor = await newAnchor(1);
    expect(await pass(worker({ submitKeyRef: 'signer://stranger' }), anchor)).toEqual({
      attempt: 1,
      state: 'FAILED',
      status: 'INVALID_SIGNATURE',
    });
    expect((await anchorRow(1)).state).toBe('REJECTED');
    expect(await pass(worker(), anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
  });

  it('asks to come back while nodes are busy', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    sim.faults.arm({ at: 'ingest', effect: { precheck: 'INVALID_TRANSACTION_START' } });
    await expect(activities.submitAnchor({ ...anchor, attempt })).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });
    expect(await pass(activities, anchor)).toMatchObject({ state: 'VERIFIED' });
  });

  it('stays suspect once a mirror contradicted, and covers nothing', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    await activities.submitAnchor(key);
    await activities.awaitAnchorReceipt(key);
    sim.faults.arm({ at: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt: 'message' } });
    expect(await activities.confirmAnchor(key)).toMatchObject({
      state: 'SUSPECT',
      status: expect.stringContaining('the message is another'),
    });
    expect(await activities.confirmAnchor(key)).toMatchObject({ state: 'SUSPECT' });
    expect(await activities.prepareAnchor(anchor)).toEqual({ attempt: 1, state: 'SUSPECT' });
    expect(await anchorRow(1)).toMatchObject({ state: 'SUSPECT', entry: null });
    expect(await anchoredSize()).toBe(0n);
  });

  it('counts only when a quorum of mirrors shows it', async () => {
    const anchor = await newAnchor(1);
    const activities = worker();
    const [, second] = sim.mirrors;
    if (second === undefined) throw new Error('no second mirror');
    second.pausedAtMs = sim.clock.nowMs() - 1;
    const { attempt } = await activities.prepareAnchor(anchor);
    const key = { ...anchor, attempt };
    await activities.submitAnchor(key);
    await activities.awaitAnchorReceipt(key);
    await expect(activities.confirmAnchor(key)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    expect((await anchorRow(1)).state).toBe('CONFIRMED');
    second.pausedAtMs = undefined;
    expect(await activities.confirmAnchor(key)).toMatchObject({ state: 'VERIFIED' });
  });

  it('never lowers what is covered when an older anchor is verified later', async () => {
    const [older, newer] = [await newAnchor(3), await newAnchor(9)];
    await pass(worker(), newer);
    await pass(worker(), older);
    expect(await anchoredSize()).toBe(9n);
  });
});
