/** What every test of anchors on the simulated network starts from: its clock, its ledger file, a checkpoint to anchor. */
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import type { HederaSim } from '../../local/hedera/start-hedera-sim.ts';
import type { Db } from '../../store/pool.ts';
import type { LedgerKey } from './ledger-keys.ts';

/** Of the SDK between its attempts: short, since the network is on this machine. */
export const BACKOFF = { minMs: 5, maxMs: 20 } as const;

/** The network's clock, as a machine has it whose own is `fastMs` ahead. */
export function clockOf(sim: HederaSim, fastMs = 0): Clock {
  const nowMs = (): number => sim.clock.nowMs() + fastMs;
  return { nowMs, nowMicros: () => toMicros(BigInt(nowMs()) * 1_000n) };
}

/** What a ledger file says of the network itself; two mirrors must agree. */
export function networkOf(sim: HederaSim) {
  return {
    kind: 'hedera-hcs/v1',
    network: 'simulator',
    nodes: sim.nodes,
    mirrors: sim.mirrorRestUrls,
    mirrorQuorum: 2,
  } as const;
}

/** The id of a new account with 100 hbar. */
export function newPayer(sim: HederaSim, { publicKey }: LedgerKey): string {
  return sim.treasury.createAccount({ publicKey, balanceHbar: 100 });
}

/** The ledger file for a new topic and a new payer. */
export function newTopicConfig(sim: HederaSim, keys: Readonly<Record<'payer' | 'submit', LedgerKey>>): LedgerConfig {
  return {
    ...networkOf(sim),
    topicId: sim.treasury.createTopic({ submitKey: keys.submit.publicKey }),
    payerAccountId: newPayer(sim, keys.payer),
    payerKeyRef: 'signer://payer',
    submitKeyRef: 'signer://submit',
    maxFeeTinybars: '10000000',
  };
}

/** A published checkpoint, for an anchor to rest on. */
export async function insertCheckpoint(db: Db, origin: string, size: number, root: Uint8Array): Promise<void> {
  await db.query(
    "INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, 'note', now())",
    [origin, size, root],
  );
}
