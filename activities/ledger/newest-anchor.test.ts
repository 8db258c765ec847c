import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { type HederaSim, startHederaSim } from '../../local/hedera/start-hedera-sim.ts';
import { newLedgerKey, resolveFrom } from '../../test/support/ledger-keys.ts';
import type { AnchorLedger } from './anchor-ledger.ts';
import { createHederaLedger } from './hedera-ledger.ts';
import type { LedgerConfig } from './ledger-config.ts';
import { createNewestAnchor, type NewestAnchor } from './newest-anchor.ts';

const ORIGIN = 'newest.example/log';
const keys = { payer: newLedgerKey(), stranger: newLedgerKey() };
const root = (size: bigint): Uint8Array => new Uint8Array(32).fill(Number(size));

let sim: HederaSim;
let config: LedgerConfig;
let newest: NewestAnchor;
const clock: Clock = { nowMs: () => sim.clock.nowMs(), nowMicros: () => toMicros(BigInt(sim.clock.nowMs()) * 1_000n) };
const closing: (() => void)[] = [];

beforeEach(async () => {
  sim = await startHederaSim({ consensusDelayMs: 10, mirrorLagMs: 0, mirrorCount: 1 });
  const account = (publicKey: typeof keys.payer.publicKey): string =>
    sim.treasury.createAccount({ publicKey, balanceHbar: 1_000 });
  config = {
    kind: 'hedera-hcs/v1',
    network: 'simulator',
    nodes: sim.nodes,
    mirrors: ['http://127.0.0.1:1', ...sim.mirrorRestUrls],
    mirrorQuorum: 1,
    topicId: sim.treasury.createTopic({}),
    payerAccountId: account(keys.payer.publicKey),
    payerKeyRef: 'signer://payer',
    maxFeeTinybars: '10000000',
    mirrorTimeoutMs: 1_000,
  };
  newest = createNewestAnchor(config, ORIGIN);
  closing.push(() => newest.close());
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await sim.stop();
});

function open(changes: Partial<LedgerConfig> = {}): AnchorLedger {
  const ledger = createHederaLedger({
    config: { ...config, mirrors: sim.mirrorRestUrls, ...changes },
    keys: resolveFrom(keys),
    clock,
    random: Math.random,
    backoff: { minMs: 10, maxMs: 40 },
  });
  closing.push(() => ledger.close());
  return ledger;
}

/** Brings a tree onto the ledger and waits until it is there. */
async function anchor(ledger: AnchorLedger, size: bigint, origin = ORIGIN): Promise<void> {
  const prepared = await ledger.prepare(buildAnchorMessage({ origin, size, root: root(size) }));
  await ledger.submit(prepared);
  for (let round = 0; (await ledger.receipt(prepared, round)).kind === 'pending'; round++);
}

describe('the newest anchor', () => {
  it('is none on an empty topic, then the largest tree, by whichever mirror answers', async () => {
    expect(await newest.read()).toBeUndefined();
    const own = open();
    for (const size of [4n, 9n, 7n]) await anchor(own, size);
    expect(await newest.read()).toEqual({ size: 9n, root: root(9n) });
  });

  it('passes over other logs, and strangers that write in our name', async () => {
    const own = open();
    await anchor(own, 3n);
    await anchor(own, 50n, 'other.example/log');
    const stranger = sim.treasury.createAccount({ publicKey: keys.stranger.publicKey, balanceHbar: 100 });
    await anchor(open({ payerAccountId: stranger, payerKeyRef: 'signer://stranger' }), 90n);
    expect(await newest.read()).toEqual({ size: 3n, root: root(3n) });
  });

  it('is not known while no mirror answers', async () => {
    const silent = createNewestAnchor({ ...config, mirrors: ['http://127.0.0.1:1'] }, ORIGIN);
    closing.push(() => silent.close());
    await expect(silent.read()).rejects.toMatchObject({ code: 'LEDGER_UNAVAILABLE' });
  });
});
