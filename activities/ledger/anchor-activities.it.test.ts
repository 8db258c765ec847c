import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { countAlarms } from '../../store/alarms.ts';
import { type AnchorVerb, requestAnchorCommand } from '../../store/anchor-commands.ts';
import { findAuditBreak } from '../../store/audit.ts';
import type { Db } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { newLedgerKey, resolveFrom } from '../../test/support/ledger-keys.ts';
import { createLedgerActivities, type LedgerActivities } from './anchor-activities.ts';
import type { AnchorLedger } from './anchor-ledger.ts';
import type { AnchorStep } from './anchor-step.ts';
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
  await test
    .pool('proofline_owner')
    .query(
      'TRUNCATE anchors, anchor_attempts, anchor_commands, topic_cursors, alarms, outbox, checkpoints, log_progress CASCADE',
    );
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
): Promise<{ state: string; attempt: number; entry: HcsAnchorEntry | null; failure: unknown }> {
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

const settle = (activities: LedgerActivities, anchor: { origin: string; size: string }): Promise<AnchorStep> =>
  activities.settleAnchor({ ...anchor, isRetryAsked: false });

/** An operator's verb, as the API writes it. */
const ask = (verb: AnchorVerb, size: number, distrustedMirrors: readonly string[] = []): Promise<void> =>
  requestAnchorCommand(test.pool('proofline_api'), {
    id: randomUUID(),
    origin: ORIGIN,
    size: BigInt(size),
    verb,
    actor: 'key:operator',
    reason: 'ticket 1',
    ...(verb === 'retry' ? {} : { evidence: { statement: 'answers kept in ticket 1', distrustedMirrors } }),
    at: clock.nowMicros(),
  });

async function openAlarms(): Promise<string[]> {
  const counts = Object.entries(await countAlarms(db));
  return counts.flatMap(([kind, n]) => (n > 0 ? [kind] : []));
}

const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await db.query(sql)).rows;

/** The steps as the workflow takes them, once. */
async function pass(activities: LedgerActivities, anchor: { origin: string; size: string }): Promise<AnchorStep> {
  const prepared = await activities.prepareAnchor(anchor);
  if (prepared.isHeld || prepared.isAbandoned) return prepared;
  const { attempt } = prepared;
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
    const rejected = { attempt: 1, state: 'REJECTED', status: 'INSUFFICIENT_PAYER_BALANCE', isHeld: true };
    expect(await pass(activities, anchor)).toEqual(rejected);
    expect(await anchorRow(1)).toMatchObject({ state: 'REJECTED', failure: { status: 'INSUFFICIENT_PAYER_BALANCE' } });
    expect(await openAlarms()).toEqual(['anchor.rejected']);
    // Another worker, after a restart too, only sees that it is held.
    expect(await worker({ payerAccountId: poor }).prepareAnchor(anchor)).toEqual(rejected);
    expect(await settle(activities, anchor)).toEqual(rejected);
    const account = sim.ledger.state.accounts.get(poor);
    if (account === undefined) throw new Error('no account');
    account.balanceTinybars = 100_000_000n;
    await ask('retry', 1);
    expect(await settle(activities, anchor)).toEqual({ attempt: 1, state: 'REJECTED' });
    expect(await settle(activities, anchor)).toEqual({ attempt: 1, state: 'REJECTED' });
    expect(await openAlarms()).toEqual([]);
    expect(await pass(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(await anchorRow(1)).toMatchObject({ state: 'VERIFIED', failure: null });
  });

  it('waits for a person when it failed at consensus, and gets a second attempt then', async () => {
    const anchor = await newAnchor(1);
    expect(await pass(worker({ submitKeyRef: 'signer://stranger' }), anchor)).toEqual({
      attempt: 1,
      state: 'FAILED',
      status: 'INVALID_SIGNATURE',
      isHeld: true,
    });
    expect((await anchorRow(1)).state).toBe('REJECTED');
    expect(await pass(worker(), anchor)).toMatchObject({ attempt: 1, isHeld: true });
    expect(await worker().settleAnchor({ ...anchor, isRetryAsked: true })).toEqual({ attempt: 1, state: 'FAILED' });
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
      isHeld: true,
    });
    expect(await activities.confirmAnchor(key)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await activities.prepareAnchor(anchor)).toMatchObject({ attempt: 1, state: 'SUSPECT', isHeld: true });
    expect(await settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await openAlarms()).toEqual(['anchor.suspect']);
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

describe('a suspect anchor', () => {
  /** Anchors one checkpoint while a mirror lies about it. */
  async function suspect(
    size: number,
  ): Promise<{ anchor: { origin: string; size: string }; activities: LedgerActivities }> {
    const anchor = await newAnchor(size);
    const activities = worker();
    const { attempt } = await activities.prepareAnchor(anchor);
    await activities.submitAnchor({ ...anchor, attempt });
    await activities.awaitAnchorReceipt({ ...anchor, attempt });
    sim.faults.arm({
      at: 'mirrorRest',
      match: { node: '1', type: 'topics' },
      effect: { corrupt: 'message' },
      times: 99,
    });
    expect(await activities.confirmAnchor({ ...anchor, attempt })).toMatchObject({ state: 'SUSPECT' });
    return { anchor, activities };
  }

  it('keeps every other anchor from being sent, until it is decided about', async () => {
    const second = await newAnchor(9);
    const other = worker();
    const key = { ...second, attempt: (await other.prepareAnchor(second)).attempt };
    const third = await newAnchor(11);
    const { anchor, activities } = await suspect(7);
    await expect(other.prepareAnchor(third)).rejects.toMatchObject({ code: 'LEDGER_FROZEN' });
    await expect(other.submitAnchor(key)).rejects.toMatchObject({ code: 'LEDGER_FROZEN' });
    expect(messages()).toHaveLength(1);
    await db.query('DELETE FROM outbox');
    await ask('abandon', 7);
    expect(await settle(activities, anchor)).toEqual({ attempt: 1, state: 'FAILED', isAbandoned: true });
    // Those that waited are told to look again.
    expect(await rows(`SELECT workflow_id, name FROM outbox ORDER BY id`)).toEqual([
      { workflow_id: `anchor:${ORIGIN}:7`, name: 'anchorCommanded' },
      { workflow_id: `anchor:${ORIGIN}:9`, name: 'retryNow' },
      { workflow_id: `anchor:${ORIGIN}:11`, name: 'retryNow' },
    ]);
    sim.faults.clear();
    expect(await pass(other, second)).toMatchObject({ state: 'VERIFIED' });
    expect(await pass(other, third)).toMatchObject({ state: 'VERIFIED' });
  });

  it('stands once an operator accepts it and the mirrors that are believed show it', async () => {
    const { anchor, activities } = await suspect(7);
    await ask('accept', 7, [sim.mirrorRestUrls[1] ?? '']);
    expect(await settle(activities, anchor)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await anchorRow(7);
    expect([state, entry?.sequenceNumber]).toEqual(['VERIFIED', '1']);
    expect(await anchoredSize()).toBe(7n);
    expect(advanced).toEqual([ORIGIN]);
    expect(await openAlarms()).toEqual([]);
    expect(await rows(`SELECT confirmation -> 'acceptedBy' IS NOT NULL AS by FROM anchor_attempts`)).toEqual([
      { by: true },
    ]);
    expect(
      await rows(`SELECT actor, action, subject FROM audit WHERE action LIKE 'anchor.%' ORDER BY id DESC LIMIT 2`),
    ).toEqual([
      { actor: 'key:operator', action: 'anchor.accept.applied', subject: `anchor:${ORIGIN}:7` },
      { actor: 'key:operator', action: 'anchor.accept.requested', subject: `anchor:${ORIGIN}:7` },
    ]);
    expect(await findAuditBreak(db)).toBeUndefined();
  });

  it('stays suspect when it is accepted and a mirror that is believed contradicts, and says so', async () => {
    const { anchor, activities } = await suspect(7);
    await ask('accept', 7, [sim.mirrorRestUrls[0] ?? '']);
    expect(await settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    await ask('accept', 7, sim.mirrorRestUrls);
    expect(await settle(activities, anchor)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await rows('SELECT state, code, detail FROM anchor_commands ORDER BY created_at')).toEqual([
      { state: 'REFUSED', code: 'LEDGER_SUSPECT', detail: expect.stringContaining('the message is another') },
      { state: 'REFUSED', code: 'LEDGER_SUSPECT', detail: expect.any(String) },
    ]);
    expect(await anchoredSize()).toBe(0n);
    expect(await openAlarms()).toEqual(['anchor.suspect']);
  });

  it('that was abandoned covers nothing, and its checkpoint is anchored anew by a second attempt of its own', async () => {
    const { anchor, activities } = await suspect(7);
    await ask('abandon', 7);
    await settle(activities, anchor);
    sim.faults.clear();
    expect(await anchorRow(7)).toMatchObject({ state: 'FAILED', failure: { status: 'ABANDONED' } });
    expect(await activities.prepareAnchor(anchor)).toMatchObject({ isAbandoned: true });
    expect(await settle(activities, anchor)).toMatchObject({ isAbandoned: true });
    expect(await anchoredSize()).toBe(0n);
    // What the next window does.
    await db.query(`UPDATE anchors SET state = 'PENDING', failure = NULL`);
    expect(await pass(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect((await attemptRows(7)).map(({ state }) => state)).toEqual(['FAILED', 'VERIFIED']);
  });

  it('takes each verb once, and none that does not fit', async () => {
    const { anchor, activities } = await suspect(7);
    await expect(ask('retry', 7)).rejects.toMatchObject({
      code: 'TRANSITION_NOT_ALLOWED',
      detail: 'retry of an anchor that is SUSPECT',
    });
    await expect(ask('accept', 8)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await Promise.all([ask('abandon', 7), ask('abandon', 7), ask('accept', 7, [sim.mirrorRestUrls[1] ?? ''])]);
    await Promise.all([settle(activities, anchor), settle(worker(), anchor)].map((one) => one.catch(() => undefined)));
    await settle(activities, anchor);
    const states = (await rows('SELECT state FROM anchor_commands ORDER BY state')).map(({ state }) => state);
    expect(states).toEqual(['APPLIED', 'REFUSED', 'REFUSED']);
    await expect(ask('abandon', 7)).rejects.toMatchObject({ code: 'TRANSITION_NOT_ALLOWED' });
  });
});

describe('what an anchor leaves behind', () => {
  it('is its fee, shared by the leaves that no anchor covered before', async () => {
    await pass(worker(), await newAnchor(3));
    await pass(worker(), await newAnchor(9));
    const fee = sim.ledger.state.transactions
      .filter(({ message }) => message !== undefined)
      .map((row) => row.chargedFee);
    expect(await rows('SELECT size, fee_tinybars, new_leaves FROM anchors ORDER BY size')).toEqual([
      { size: 3n, fee_tinybars: fee[0], new_leaves: 3n },
      { size: 9n, fee_tinybars: fee[1], new_leaves: 6n },
    ]);
  });

  it('is the place in the topic, against which the next is held', async () => {
    await pass(worker(), await newAnchor(3));
    await pass(worker(), await newAnchor(9));
    expect(await rows('SELECT network, topic_id, sequence_number FROM topic_cursors')).toEqual([
      { network: 'simulator', topic_id: config.topicId, sequence_number: 2n },
    ]);
    // All mirrors, and the receipt with them, tell a history that is not the one seen.
    await db.query('UPDATE topic_cursors SET running_hash = $1', [Buffer.alloc(48, 1)]);
    expect(await pass(worker(), await newAnchor(11))).toMatchObject({
      state: 'SUSPECT',
      status: expect.stringContaining('not the one that was seen there earlier'),
    });
  });
});
