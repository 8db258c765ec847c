import { randomBytes, randomUUID } from 'node:crypto';
import { AccountId, Client, ContractExecuteTransaction, ContractId, PrivateKey } from '@hashgraph/sdk';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { deployRegistry } from '../../contracts/deploy.ts';
import type { ContractAnchorEntry } from '../../domain/bundle.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { encodeAnchorCall, longZeroAddress, registryEntryOf } from '../../domain/ledger/checkpoint-registry.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { countAlarms } from '../../store/alarms.ts';
import { type AnchorVerb, requestAnchorCommand } from '../../store/anchor-commands.ts';
import { findAuditBreak } from '../../store/audit.ts';
import { closeContractWindow, readOpenContractAnchors } from '../../store/contract-anchors.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { newLedgerKey, resolveFrom } from '../../test/support/ledger-keys.ts';
import { BACKOFF, clockOf, insertCheckpoint, networkOf, newPayer } from '../../test/support/simulated-ledger.ts';
import type { AnchorStep } from './anchor-step.ts';
import { type ContractActivities, createContractActivities } from './contract-activities.ts';
import { type ContractLedger, createContractLedger } from './contract-ledger.ts';
import type { ContractConfig, LedgerConfig } from './ledger-config.ts';

const ORIGIN = 'log.example/contracts';
const keys = { payer: newLedgerKey() };

let test: TestDatabase;
let db: Db;
let sim: HederaSim;
let config: LedgerConfig & { contract: ContractConfig };
let clock: Clock;
let operator: Client;
const opened: ContractLedger[] = [];
const advanced: string[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  await db.query('INSERT INTO log_progress (origin) VALUES ($1)', [ORIGIN]);
  sim = await startHederaSim({ consensusDelayMs: 5, mirrorLagMs: 0, mirrorCount: 2 });
  clock = clockOf(sim);
  operator = Client.forNetwork(sim.nodes, { scheduleNetworkUpdate: false })
    .setOperator(AccountId.fromString(sim.operatorId), await PrivateKey.fromPem(sim.operatorKey))
    .setMinBackoff(5)
    .setMaxBackoff(20);
});
afterAll(async () => {
  operator.close();
  await sim.stop();
  await test.drop();
});

beforeEach(async () => {
  await test
    .pool('proofline_owner')
    .query('TRUNCATE contract_anchors, contract_attempts, alarms, outbox, checkpoints, timestamps CASCADE');
  await db.query('UPDATE log_progress SET anchored_size = 0');
  const payerAccountId = newPayer(sim, keys.payer);
  const { contractId } = await deployRegistry(operator, {
    owner: longZeroAddress(2n),
    publisher: longZeroAddress(BigInt(payerAccountId.split('.')[2] ?? 0)),
  });
  config = {
    ...networkOf(sim),
    topicId: '0.0.9',
    payerAccountId,
    payerKeyRef: 'signer://payer',
    maxFeeTinybars: '10000000',
    grpcDeadlineMs: 200,
    requestTimeoutMs: 1_000,
    contract: { contractId, gas: 120_000, maxFeeTinybars: '20000000' },
  };
  advanced.length = 0;
});

afterEach(() => {
  for (const ledger of opened.splice(0)) ledger.close();
  sim.faults.clear();
});

/** Activities of a worker that has just started. */
function worker(changes: Partial<ContractConfig> = {}): ContractActivities {
  const ledger = createContractLedger({
    config: { ...config, contract: { ...config.contract, ...changes } },
    keys: resolveFrom(keys),
    clock,
    random: Math.random,
    backoff: BACKOFF,
  });
  opened.push(ledger);
  return createContractActivities({
    db,
    ledger,
    clock,
    receiptPatienceMs: 600,
    advanceEvidence: async ({ origin }) => {
      advanced.push(origin);
      return false;
    },
  });
}

/** A timestamped checkpoint, and the anchor that a window asks for. */
async function newAnchor(size: number, carriesProofs = false) {
  const root = randomBytes(32);
  await insertCheckpoint(db, ORIGIN, size, root);
  await db.query(
    'INSERT INTO contract_anchors (origin, size, carries_proofs, created_at, updated_at) VALUES ($1, $2, $3, now(), now())',
    [ORIGIN, size, carriesProofs],
  );
  return { root, input: { origin: ORIGIN, size: String(size) } };
}

const run = (activities: ContractActivities, input: { origin: string; size: string }) =>
  activities.anchorInContract(input);
const settle = (activities: ContractActivities, input: { origin: string; size: string }, isRetryAsked = false) =>
  activities.settleContractAnchor({ ...input, isRetryAsked });

/** An operator's verb, as the API writes it. */
const ask = (
  verb: AnchorVerb,
  size: number,
  { distrustedMirrors = [], key }: { distrustedMirrors?: readonly string[]; key?: string } = {},
): Promise<{ readonly id: string; readonly isReplay: boolean }> =>
  requestAnchorCommand(test.pool('proofline_api'), {
    id: randomUUID(),
    medium: 'contract',
    origin: ORIGIN,
    size: BigInt(size),
    verb,
    actor: 'key:operator',
    reason: 'ticket 1',
    ...(verb === 'retry' ? {} : { evidence: { statement: 'answers kept in ticket 1', distrustedMirrors } }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    at: clock.nowMicros(),
  });

/** As the workflow: again while it throws what passes by itself. */
async function persist(activities: ContractActivities, input: { origin: string; size: string }): Promise<AnchorStep> {
  for (let tries = 0; ; tries++) {
    try {
      return await run(activities, input);
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

async function rowOf(size: number): Promise<{ state: string; attempt: number; entry: ContractAnchorEntry }> {
  const { rows } = await db.query('SELECT state, attempt, entry FROM contract_anchors WHERE size = $1', [size]);
  return rows[0];
}

const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await db.query(sql)).rows;

const calls = () =>
  sim.ledger.state.transactions.filter(
    (row) => row.kind === 'contractCall' && row.contract?.contractId === config.contract.contractId,
  );
const successes = () => calls().filter((row) => row.status === 'SUCCESS');

/** Somebody who may publish writes the root before us. */
async function publishFirst(size: number, root: Uint8Array): Promise<void> {
  const entry = registryEntryOf(buildAnchorMessage({ origin: ORIGIN, size: BigInt(size), root }));
  if (entry === undefined) throw new Error('no entry of our own message');
  await (
    await new ContractExecuteTransaction()
      .setContractId(ContractId.fromString(config.contract.contractId))
      .setGas(100_000)
      .setFunctionParameters(Buffer.from(encodeAnchorCall(entry).slice(2), 'hex'))
      .execute(operator)
  ).getReceipt(operator);
}

async function setPublisher(address: string, isAllowed: boolean): Promise<void> {
  const word = (text: string): string => text.padStart(64, '0');
  const data = `618bb079${word(address.slice(2))}${word(isAllowed ? '1' : '0')}`;
  await (
    await new ContractExecuteTransaction()
      .setContractId(ContractId.fromString(config.contract.contractId))
      .setGas(100_000)
      .setFunctionParameters(Buffer.from(data, 'hex'))
      .execute(operator)
  ).getReceipt(operator);
}

describe('a checkpoint in the registry contract', () => {
  it('stands after one call, with an entry that two mirrors show', async () => {
    const { input, root } = await newAnchor(7);
    expect(await run(worker(), input)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await rowOf(7);
    expect(state).toBe('VERIFIED');
    expect(findAnchorEntryFault(entry)).toBeUndefined();
    expect(entry).toMatchObject({
      ledger: 'hedera-contract/v1',
      contractId: config.contract.contractId,
      payer: config.payerAccountId,
      message: buildAnchorMessage({ origin: ORIGIN, size: 7n, root }),
    });
    expect(successes()).toHaveLength(1);
    expect(advanced).toEqual([]);
    expect(await run(worker(), input)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(calls()).toHaveLength(1);
  });

  it('covers proofs where they rest on it', async () => {
    const { input } = await newAnchor(9, true);
    expect((await run(worker(), input)).state).toBe('VERIFIED');
    const { rows } = await db.query('SELECT anchored_size FROM log_progress WHERE origin = $1', [ORIGIN]);
    expect(rows[0].anchored_size).toBe(9n);
    expect(advanced).toEqual([ORIGIN]);
  });

  it('is called once when the answer to the send is lost', async () => {
    sim.faults.arm({
      at: 'ingest',
      match: { type: 'contractCallMethod' },
      effect: { grpc: 14, when: 'after' },
      times: 9,
    });
    const { input } = await newAnchor(7);
    expect((await persist(worker(), input)).state).toBe('VERIFIED');
    expect(calls()).toHaveLength(1);
  });

  it('is called once by a worker that died after sending, and the one that took over', async () => {
    const { input } = await newAnchor(7);
    const dying = worker();
    for (const mirror of sim.mirrors) mirror.pausedAtMs = sim.clock.nowMs() - 1;
    sim.faults.arm({ at: 'receipt', effect: { drop: true }, times: 50 });
    await expect(run(dying, input)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    sim.faults.clear();
    for (const mirror of sim.mirrors) mirror.pausedAtMs = undefined;
    expect((await persist(worker(), input)).state).toBe('VERIFIED');
    expect(successes()).toHaveLength(1);
    expect((await rowOf(7)).attempt).toBe(1);
  });

  it('is tried by another attempt when consensus had no room for the call', async () => {
    sim.faults.arm({
      at: 'consensus',
      match: { type: 'contractCall' },
      effect: { status: 'CONSENSUS_GAS_EXHAUSTED' },
    });
    const { input } = await newAnchor(7);
    expect(await run(worker(), input)).toEqual({ attempt: 1, state: 'EXPIRED', status: 'CONSENSUS_GAS_EXHAUSTED' });
    expect(await run(worker(), input)).toEqual({ attempt: 2, state: 'VERIFIED' });
  });

  it('counts as the entry that stands when the root is there already, whoever published it', async () => {
    await setPublisher(longZeroAddress(2n), true);
    const { input, root } = await newAnchor(7);
    await publishFirst(7, root);
    expect(await persist(worker(), input)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { entry } = await rowOf(7);
    expect(entry.payer).toBe(sim.operatorId);
    expect(entry.publisher).toBe(longZeroAddress(2n));
    expect(calls().map(({ status }) => status)).toEqual(['SUCCESS', 'SUCCESS', 'CONTRACT_REVERT_EXECUTED']);
    expect(entry.consensusTimestamp.split('.')[0]).toBe(
      String((successes()[1]?.consensusNanos ?? 0n) / 1_000_000_000n),
    );
  });

  it('is suspect when the root stands there under another size, and stays so when asked again', async () => {
    await setPublisher(longZeroAddress(2n), true);
    const { input, root } = await newAnchor(7);
    await publishFirst(8, root);
    const step = await persist(worker(), input);
    expect(step).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(step.status).toContain('another call');
    expect((await countAlarms(db))['anchor.suspect']).toBe(1);
    expect((await run(worker(), input)).isHeld).toBe(true);
    // Not even the update ends it; and all mirrors say the same, so that nobody can accept it.
    expect(await settle(worker(), input, true)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    await ask('accept', 7);
    expect(await settle(worker(), input)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    expect(await rows('SELECT state, code, detail FROM anchor_commands')).toEqual([
      { state: 'REFUSED', code: 'LEDGER_SUSPECT', detail: expect.stringContaining('another call') },
    ]);
    expect((await countAlarms(db))['anchor.suspect']).toBe(1);
  });

  it('waits for a person when the contract refuses the publisher, and goes on when asked to', async () => {
    const { input } = await newAnchor(12);
    const [publisher] = [longZeroAddress(BigInt(config.payerAccountId.split('.')[2] ?? 0))];
    await setPublisher(publisher, false);
    expect(await persist(worker(), input)).toMatchObject({
      attempt: 1,
      state: 'FAILED',
      status: 'CONTRACT_REVERT_EXECUTED NotPublisher',
      isHeld: true,
    });
    expect((await countAlarms(db))['anchor.rejected']).toBe(1);
    expect((await rowOf(12)).state).toBe('REJECTED');
    await setPublisher(publisher, true);
    expect((await run(worker(), input)).isHeld).toBe(true);
    expect((await settle(worker(), input)).isHeld).toBe(true);
    await ask('retry', 12);
    // Nothing is sent before the command is applied, by whichever worker looks first.
    expect((await run(worker(), input)).isHeld).toBe(true);
    expect(await settle(worker(), input)).toEqual({ attempt: 1, state: 'FAILED' });
    expect(await settle(worker(), input)).toEqual({ attempt: 1, state: 'FAILED' });
    expect((await countAlarms(db))['anchor.rejected']).toBe(0);
    expect(await run(worker(), input)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(
      await rows(`SELECT actor, action FROM audit WHERE subject = 'anchor-contract:${ORIGIN}:12' ORDER BY id`),
    ).toEqual([
      { actor: 'key:operator', action: 'anchor.retry.requested' },
      { actor: 'key:operator', action: 'anchor.retry.applied' },
    ]);
    expect(await findAuditBreak(db)).toBeUndefined();
  });

  it('goes on when the update asks for it, audited, and once when several retries wait, all of them applied', async () => {
    const { input } = await newAnchor(8);
    sim.faults.arm({ at: 'consensus', match: { type: 'contractCall' }, effect: { status: 'INVALID_SIGNATURE' } });
    expect(await persist(worker(), input)).toMatchObject({ state: 'FAILED', isHeld: true });
    expect(await settle(worker(), input, true)).toEqual({ attempt: 1, state: 'FAILED' });
    expect(await rows(`SELECT actor, action FROM audit WHERE subject = 'anchor-contract:${ORIGIN}:8'`)).toEqual([
      { actor: 'temporal:retryAnchor', action: 'anchor.retry.applied' },
    ]);
    await expect(ask('retry', 8)).rejects.toMatchObject({ detail: 'retry of an anchor that is being tried again' });
    sim.faults.arm({ at: 'consensus', match: { type: 'contractCall' }, effect: { status: 'INVALID_SIGNATURE' } });
    expect(await persist(worker(), input)).toMatchObject({ attempt: 2, state: 'FAILED', isHeld: true });
    await Promise.all([ask('retry', 8), ask('retry', 8)]);
    await Promise.all([settle(worker(), input), settle(worker(), input)]);
    expect(await rows('SELECT state FROM anchor_commands')).toEqual([{ state: 'APPLIED' }, { state: 'APPLIED' }]);
    expect(await run(worker(), input)).toEqual({ attempt: 3, state: 'VERIFIED' });
  });

  it('takes a command once under its key, and none that does not fit the state', async () => {
    const { input } = await newAnchor(7);
    const refuse = async (state: string, verbs: readonly AnchorVerb[]): Promise<void> => {
      for (const verb of verbs)
        await expect(ask(verb, 7)).rejects.toMatchObject({
          code: 'TRANSITION_NOT_ALLOWED',
          detail: `${verb} of an anchor that is ${state}`,
        });
    };
    const all = ['retry', 'accept', 'abandon'] as const;
    for (const state of ['PENDING', 'PREPARED', 'SENT', 'CONSENSUS', 'CONFIRMED', 'EXPIRED', 'FAILED']) {
      await db.query('UPDATE contract_anchors SET state = $1', [state]);
      await refuse(state, all);
    }
    await db.query(`UPDATE contract_anchors SET state = 'SUSPECT'`);
    await refuse('SUSPECT', ['retry']);
    await db.query(`UPDATE contract_anchors SET state = 'PENDING'`);
    expect(await run(worker({ maxFeeTinybars: '1' }), input)).toMatchObject({ state: 'REJECTED', isHeld: true });
    await refuse('REJECTED', ['accept', 'abandon']);
    await expect(ask('retry', 8)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await rows('SELECT FROM anchor_commands')).toEqual([]);
    const twins = await Promise.all([ask('retry', 7, { key: 'k' }), ask('retry', 7, { key: 'k' })]);
    expect(new Set(twins.map(({ id }) => id)).size).toBe(1);
    expect(twins.map(({ isReplay }) => isReplay).sort()).toEqual([false, true]);
    await settle(worker(), input);
    expect(await ask('retry', 7, { key: 'k' })).toEqual({ id: twins[0]?.id, isReplay: true });
    await expect(ask('accept', 7, { key: 'k' })).rejects.toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' });
    expect(await rows('SELECT verb, state FROM anchor_commands')).toEqual([{ verb: 'retry', state: 'APPLIED' }]);
    await db.query(`UPDATE contract_anchors SET state = 'VERIFIED'`);
    await refuse('VERIFIED', all);
  });

  /** In the contract, while one of two mirrors lies about it. */
  async function suspect(size: number, carriesProofs = false): Promise<{ origin: string; size: string }> {
    const { input } = await newAnchor(size, carriesProofs);
    sim.faults.arm({
      at: 'mirrorRest',
      match: { node: '1', type: 'contracts' },
      effect: { corrupt: 'message' },
      times: 99,
    });
    expect(await persist(worker(), input)).toMatchObject({ state: 'SUSPECT', isHeld: true });
    return input;
  }

  it('stands once an operator accepts it and the mirrors that are believed show it, and covers proofs then', async () => {
    const input = await suspect(7, true);
    await ask('accept', 7, { distrustedMirrors: [sim.mirrorRestUrls[0] ?? ''] });
    expect((await settle(worker(), input)).isHeld).toBe(true);
    await ask('accept', 7, { distrustedMirrors: [sim.mirrorRestUrls[1] ?? ''] });
    expect(await settle(worker(), input)).toEqual({ attempt: 1, state: 'VERIFIED' });
    const { state, entry } = await rowOf(7);
    expect([state, findAnchorEntryFault(entry)]).toEqual(['VERIFIED', undefined]);
    expect(advanced).toEqual([ORIGIN]);
    expect(await rows('SELECT anchored_size FROM log_progress')).toEqual([{ anchored_size: 7n }]);
    expect((await countAlarms(db))['anchor.suspect']).toBe(0);
    expect(await run(worker(), input)).toEqual({ attempt: 1, state: 'VERIFIED' });
    expect(calls()).toHaveLength(1);
  });

  it('that was abandoned covers nothing, and the next window brings its checkpoint there by another attempt', async () => {
    const input = await suspect(7);
    await ask('abandon', 7);
    expect(await settle(worker(), input)).toEqual({ attempt: 1, state: 'FAILED', isAbandoned: true });
    expect(await run(worker(), input)).toEqual({ attempt: 1, state: 'FAILED', isAbandoned: true });
    expect((await countAlarms(db))['anchor.suspect']).toBe(0);
    expect(await readOpenContractAnchors(db, '2999-01-01T00:00:00Z', 10)).toEqual([]);
    sim.faults.clear();
    await db.query(
      `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at)
       VALUES ($1, 7, 'tsa', '\\x00', $2, now(), '1', '1.2', false, now())`,
      [ORIGIN, randomBytes(32)],
    );
    const close = (now: string) =>
      inTransaction(db, (tx) =>
        closeContractWindow(tx, { origin: ORIGIN, now, windowMs: 3_600_000, carriesProofs: false }),
      );
    expect(await close(new Date().toISOString())).toBeUndefined();
    expect(await close(new Date(Date.now() + 3_700_000).toISOString())).toBe(7n);
    expect(await run(worker(), input)).toEqual({ attempt: 2, state: 'VERIFIED' });
  });

  it('waits for a person when the fee cap is too low for the gas, and sends the same bytes in vain', async () => {
    const { input } = await newAnchor(7);
    expect(await run(worker({ maxFeeTinybars: '1' }), input)).toMatchObject({
      state: 'REJECTED',
      status: 'INSUFFICIENT_TX_FEE',
      isHeld: true,
    });
    expect(calls()).toEqual([]);
  });

  it('is not believed of one mirror alone', async () => {
    const [, second] = sim.mirrors;
    if (second === undefined) throw new Error('one mirror');
    const { input } = await newAnchor(7);
    second.pausedAtMs = sim.clock.nowMs() - 1;
    await expect(run(worker(), input)).rejects.toMatchObject({ code: 'LEDGER_NOT_CONFIRMED' });
    expect((await rowOf(7)).state).toBe('CONFIRMED');
    second.pausedAtMs = undefined;
    expect((await run(worker(), input)).state).toBe('VERIFIED');
    expect(successes()).toHaveLength(1);
  });
});

describe('a contract window', () => {
  const close = (nowMs: number) =>
    inTransaction(db, (tx) =>
      closeContractWindow(tx, {
        origin: ORIGIN,
        now: toMicros(BigInt(nowMs) * 1_000n),
        windowMs: 3_600_000,
        carriesProofs: false,
      }),
    );
  const stamp = async (size: number): Promise<void> => {
    await insertCheckpoint(db, ORIGIN, size, randomBytes(32));
    await db.query(
      `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at)
       VALUES ($1, $2::bigint, 'tsa', '\\x00', $3, now(), $2::bigint::text, '1.2', false, now())`,
      [ORIGIN, size, randomBytes(32)],
    );
  };

  it('closes once an hour, for the newest timestamped checkpoint, and only when the log has grown', async () => {
    const start = Date.parse('2026-11-23T08:00:00Z');
    expect(await close(start)).toBeUndefined();
    await stamp(5);
    await stamp(8);
    const races = await Promise.all([close(start), close(start), close(start)]);
    expect(races.filter((size) => size !== undefined)).toEqual([8n]);
    const { rows } = await db.query('SELECT kind, workflow_id, name, payload FROM outbox');
    expect(rows).toEqual([
      {
        kind: 'start',
        workflow_id: `anchor-contract:${ORIGIN}:8`,
        name: 'anchorContract',
        payload: { origin: ORIGIN, size: '8' },
      },
    ]);
    await stamp(9);
    expect(await close(start + 3_600_001)).toBeUndefined();
    await db.query(`UPDATE contract_anchors SET state = 'VERIFIED', attempt = 1`);
    expect(await close(start + 3_599_000)).toBeUndefined();
    expect(await close(start + 3_600_001)).toBe(9n);
  });
});
