import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { findAnchorEntryFault } from '../../domain/ledger/anchor-entry.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { newLedgerKey, resolveFrom } from '../../test/support/ledger-keys.ts';
import { clockOf, newTopicConfig } from '../../test/support/simulated-ledger.ts';
import type { AnchorLedger, Prepared, Receipt, ReceiptOutcome } from './anchor-ledger.ts';
import { createHederaLedger } from './hedera-ledger.ts';
import type { LedgerConfig } from './ledger-config.ts';

const message = (size: bigint): string =>
  buildAnchorMessage({ origin: 'test/log', size, root: new Uint8Array(32).fill(Number(size)) });

let sim: HederaSim;
let ledger: AnchorLedger;
let config: LedgerConfig;
const keys = { payer: newLedgerKey(), submit: newLedgerKey(), stranger: newLedgerKey() };

function open(changes: Partial<LedgerConfig> = {}): AnchorLedger {
  return createHederaLedger({
    config: { ...config, ...changes },
    keys: resolveFrom(keys),
    clock: clockOf(sim),
    random: Math.random,
    backoff: { minMs: 10, maxMs: 40 },
  });
}

beforeEach(async () => {
  sim = await startHederaSim({ consensusDelayMs: 10, mirrorLagMs: 0, mirrorCount: 2 });
  config = { ...newTopicConfig(sim, keys), grpcDeadlineMs: 500, requestTimeoutMs: 5_000 };
  ledger = open();
});

afterEach(async () => {
  ledger.close();
  await sim.stop();
});

/** Polls until the outcome is final. */
async function final(
  poll: (round: number) => Promise<ReceiptOutcome>,
): Promise<Exclude<ReceiptOutcome, { kind: 'pending' }>> {
  for (let round = 0; ; round++) {
    const outcome = await poll(round);
    if (outcome.kind !== 'pending') return outcome;
  }
}

async function receiptOf(prepared: Prepared): Promise<Receipt> {
  const outcome = await final((round) => ledger.receipt(prepared, round));
  if (outcome.kind !== 'consensus') throw new Error(outcome.status);
  return outcome.receipt;
}

const messages = () => sim.ledger.state.topics.get(config.topicId)?.messages ?? [];

async function anchor(size: bigint): Promise<{ prepared: Prepared; receipt: Receipt }> {
  const prepared = await ledger.prepare(message(size));
  expect((await ledger.submit(prepared)).kind).toBe('sent');
  return { prepared, receipt: await receiptOf(prepared) };
}

describe('an anchor', () => {
  it('is prepared for three nodes, sent, received, and verified by a quorum of mirrors', async () => {
    await anchor(1n);
    const { prepared, receipt } = await anchor(2n);
    expect(prepared).toMatchObject({
      nodes: expect.arrayContaining(['0.0.3', '0.0.4', '0.0.5']),
      message: message(2n),
    });
    expect(prepared.keyRefs).toEqual(['signer://payer@1', 'signer://submit@1']);
    expect(receipt).toMatchObject({ sequenceNumber: '2' });
    const confirmation = await ledger.confirm(prepared, receipt);
    if (confirmation.kind !== 'verified') throw new Error(JSON.stringify(confirmation));
    expect(confirmation.entry).toMatchObject({
      ledger: 'hedera-hcs/v1',
      network: 'simulator',
      sequenceNumber: '2',
      transactionId: prepared.transactionId,
      message: message(2n),
      runningHash: receipt.runningHash,
    });
    expect(findAnchorEntryFault(confirmation.entry)).toBeUndefined();
  });

  it('is verified without a receipt, by what mirrors show of its transaction', async () => {
    const { prepared, receipt } = await anchor(1n);
    expect(await ledger.lookUp(prepared)).toEqual({ kind: 'consensus', receipt: {} });
    const confirmation = await ledger.confirm(prepared, {});
    expect(confirmation).toMatchObject({ kind: 'verified', entry: { runningHash: receipt.runningHash } });
  });

  it('is one message when the answer to the first send is lost', async () => {
    const prepared = await ledger.prepare(message(1n));
    sim.faults.arm({ at: 'ingest', effect: { grpc: 14, when: 'after' } });
    expect((await ledger.submit(prepared)).kind).toBe('sent');
    await receiptOf(prepared);
    expect(messages()).toHaveLength(1);
    expect(await ledger.confirm(prepared, {})).toMatchObject({
      kind: 'verified',
      entry: { transactionId: prepared.transactionId },
    });
  });

  it('is one message when the bytes are sent again and again', async () => {
    const prepared = await ledger.prepare(message(1n));
    for (let i = 0; i < 3; i++) expect((await ledger.submit(prepared)).kind).toBe('sent');
    await receiptOf(prepared);
    const again = open();
    expect((await again.submit(prepared)).kind).toBe('sent');
    again.close();
    expect(messages()).toHaveLength(1);
  });

  it('outlives three busy answers', async () => {
    sim.faults.arm({ at: 'ingest', effect: { precheck: 'BUSY' }, times: 3 });
    await anchor(1n);
    expect(messages()).toHaveLength(1);
  });

  it('outlives a node that cannot create the platform transaction', async () => {
    sim.faults.arm({ at: 'ingest', effect: { precheck: 'PLATFORM_TRANSACTION_NOT_CREATED' } });
    await anchor(1n);
    expect(messages()).toHaveLength(1);
  });

  it('goes to another node when the first is down, within the deadline of one call and a second', async () => {
    const prepared = await ledger.prepare(message(1n));
    sim.stopNode(prepared.nodes[0] ?? '');
    const begun = performance.now();
    expect((await ledger.submit(prepared)).kind).toBe('sent');
    expect(performance.now() - begun).toBeLessThan(1_500);
    await receiptOf(prepared);
    expect(messages()).toHaveLength(1);
  });

  it('is taken for sent, not failed, when every node is down', async () => {
    const prepared = await ledger.prepare(message(1n));
    for (const node of prepared.nodes) sim.stopNode(node);
    expect(await ledger.submit(prepared)).toEqual({ kind: 'sent', status: 'OUTCOME_UNKNOWN' });
    expect(await ledger.provenAbsent(prepared)).toBe(false);
  });

  it('arrives with the first send after an outage, however long gRPC would wait to connect again', async () => {
    const prepared = await ledger.prepare(message(1n));
    for (const node of prepared.nodes) sim.stopNode(node);
    for (let i = 0; i < 3; i++) expect((await ledger.submit(prepared)).status).toBe('OUTCOME_UNKNOWN');
    await Promise.all(prepared.nodes.map((node) => sim.startNode(node)));
    expect(['OK', 'DUPLICATE_TRANSACTION']).toContain((await ledger.submit(prepared)).status);
    await receiptOf(prepared);
    expect(messages()).toHaveLength(1);
  });

  it('is proven absent only when blocks have passed its validity and no mirror shows it', async () => {
    const prepared = await ledger.prepare(message(1n));
    sim.faults.arm({ at: 'consensus', effect: { drop: true } });
    expect((await ledger.submit(prepared)).kind).toBe('sent');
    expect(await ledger.provenAbsent(prepared)).toBe(false);
    sim.clock.advance(112_000);
    expect(await ledger.provenAbsent(prepared)).toBe(false);
    sim.clock.advance(8_000);
    expect(await ledger.submit(prepared)).toEqual({ kind: 'too-late', status: 'TRANSACTION_EXPIRED' });
    expect(await ledger.provenAbsent(prepared)).toBe(true);
    const { prepared: second } = await anchor(1n);
    expect(second.transactionId).not.toBe(prepared.transactionId);
    expect(messages()).toHaveLength(1);
  });

  it('is never proven absent while one mirror shows it, or too few answer', async () => {
    const { prepared } = await anchor(1n);
    const lost = await ledger.prepare(message(2n));
    sim.clock.advance(130_000);
    expect(await ledger.provenAbsent(prepared)).toBe(false);
    sim.faults.arm({ at: 'mirrorRest', match: { node: '1' }, effect: { http: 503 } });
    expect(await ledger.provenAbsent(lost)).toBe(false);
    expect(await ledger.provenAbsent(lost)).toBe(true);
  });

  it('is rejected for a payer who cannot pay, and for a fee above the cap', async () => {
    const poor = sim.treasury.createAccount({ publicKey: keys.payer.publicKey, balanceHbar: 0 });
    for (const [changes, status] of [
      [{ payerAccountId: poor }, 'INSUFFICIENT_PAYER_BALANCE'],
      [{ maxFeeTinybars: '1' }, 'INSUFFICIENT_TX_FEE'],
      [{ payerKeyRef: 'signer://stranger' }, 'INVALID_SIGNATURE'],
    ] as const) {
      const other = open(changes);
      expect(await other.submit(await other.prepare(message(1n)))).toEqual({ kind: 'rejected', status });
      other.close();
    }
    expect(messages()).toHaveLength(0);
  });

  it('fails at consensus without the submit key', async () => {
    const other = open({ submitKeyRef: 'signer://stranger' });
    const prepared = await other.prepare(message(1n));
    expect((await other.submit(prepared)).kind).toBe('sent');
    expect(await final((round) => other.receipt(prepared, round))).toEqual({
      kind: 'failed',
      status: 'INVALID_SIGNATURE',
    });
    other.close();
  });

  it('may be prepared anew after it was throttled at consensus', async () => {
    sim.faults.arm({ at: 'consensus', effect: { status: 'THROTTLED_AT_CONSENSUS' } });
    const prepared = await ledger.prepare(message(1n));
    expect((await ledger.submit(prepared)).kind).toBe('sent');
    expect(await final((round) => ledger.receipt(prepared, round))).toEqual({
      kind: 'abandoned',
      status: 'THROTTLED_AT_CONSENSUS',
    });
    expect(await ledger.lookUp(prepared)).toEqual({ kind: 'abandoned', status: 'THROTTLED_AT_CONSENSUS' });
  });

  it('has a message of at most 100 bytes', async () => {
    await expect(ledger.prepare('x'.repeat(100))).resolves.toBeDefined();
    await expect(ledger.prepare('x'.repeat(101))).rejects.toMatchObject({ code: 'ANCHOR_MESSAGE_TOO_LONG' });
  });

  it('stands beside the messages of others in its topic', async () => {
    await anchor(1n);
    const stranger = open({
      payerAccountId: sim.treasury.createAccount({ publicKey: keys.stranger.publicKey, balanceHbar: 1 }),
      payerKeyRef: 'signer://stranger',
    });
    const foreign = await stranger.prepare('foreign');
    await stranger.submit(foreign);
    await final((round) => stranger.receipt(foreign, round));
    stranger.close();
    const { prepared, receipt } = await anchor(2n);
    expect(await ledger.confirm(prepared, receipt)).toMatchObject({ kind: 'verified', entry: { sequenceNumber: '3' } });
  });
});

describe('mirrors', () => {
  it.each(['message', 'runningHash', 'sequence', 'timestamp', 'payer'] as const)(
    'that lie about the %s make it suspect',
    async (corrupt) => {
      const { prepared, receipt } = await anchor(1n);
      sim.faults.arm({ at: 'mirrorRest', match: { node: '0', type: 'topics' }, effect: { corrupt } });
      const confirmation = await ledger.confirm(prepared, receipt);
      expect(confirmation).toMatchObject({ kind: 'suspect', mirrors: [{ verdict: 'mismatch' }, { verdict: 'ok' }] });
    },
  );

  it('that lie only about the message before make it suspect', async () => {
    await anchor(1n);
    const { prepared, receipt } = await anchor(2n);
    sim.faults.arm({ at: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { delayMs: 0 } });
    sim.faults.arm({ at: 'mirrorRest', match: { node: '1', type: 'topics' }, effect: { corrupt: 'runningHash' } });
    expect((await ledger.confirm(prepared, receipt)).kind).toBe('suspect');
  });

  it('that lag, answer 429 or are away only delay it', async () => {
    const { prepared, receipt } = await anchor(1n);
    const [, second] = sim.mirrors;
    if (second === undefined) throw new Error('no second mirror');
    second.lagMs = 30_000;
    expect(await ledger.confirm(prepared, receipt)).toMatchObject({
      kind: 'seen',
      mirrors: [{ verdict: 'ok' }, { verdict: 'not-yet' }],
    });
    second.lagMs = 0;
    sim.faults.arm({ at: 'mirrorRest', match: { node: '1' }, effect: { http: 429 } });
    expect(await ledger.confirm(prepared, receipt)).toMatchObject({
      kind: 'seen',
      mirrors: [{ verdict: 'ok' }, { verdict: 'unreachable' }],
    });
    expect((await ledger.confirm(prepared, receipt)).kind).toBe('verified');
  });

  it('tell their lag and the balance of the payer', async () => {
    sim.clock.advance(10_000);
    const health = await ledger.health();
    expect(health.mirrors.map(({ lagMs }) => lagMs)).toEqual([expect.any(Number), expect.any(Number)]);
    expect(health.payerTinybars).toBe('10000000000');
  });
});
