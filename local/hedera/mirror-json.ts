/** Rows that several mirror routes show, in the JSON of the mirror's OpenAPI document (`Key`, `Transaction`). */
import { proto } from '@hiero-ledger/proto';
import type { HandledTransaction } from './state.ts';
import { nanosToText } from './wire.ts';

export function keyJson(key: proto.IKey | undefined): { _type: string; key: string } | null {
  if (key === undefined) return null;
  if (key.ed25519 != null && key.ed25519.length > 0) return { _type: 'ED25519', key: hex(key.ed25519) };
  if (key.ECDSASecp256k1 != null && key.ECDSASecp256k1.length > 0)
    return { _type: 'ECDSA_SECP256K1', key: hex(key.ECDSASecp256k1) };
  return { _type: 'ProtobufEncoded', key: hex(proto.Key.encode(key).finish()) };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function transactionJson(handled: HandledTransaction): Record<string, unknown> {
  const [payer, start] = handled.id.split('@') as [string, string];
  return {
    batch_key: null,
    bytes: null,
    charged_tx_fee: Number(handled.chargedFee),
    consensus_timestamp: nanosToText(handled.consensusNanos),
    entity_id: handled.entity ?? null,
    high_volume: false,
    high_volume_pricing_multiplier: 0,
    max_custom_fees: [],
    max_fee: handled.maxFee.toString(),
    memo_base64: Buffer.from(handled.memo).toString('base64'),
    name: handled.kind.toUpperCase(),
    nft_transfers: [],
    node: handled.node,
    nonce: 0,
    parent_consensus_timestamp: null,
    result: handled.status,
    scheduled: false,
    staking_reward_transfers: [],
    token_transfers: [],
    transaction_hash: Buffer.from(handled.hash).toString('base64'),
    transaction_id: `${payer}-${start.replace('.', '-')}`,
    transfers: handled.transfers.map(({ account, amount }) => ({
      account,
      amount: Number(amount),
      is_approval: false,
    })),
    valid_duration_seconds: handled.validSeconds.toString(),
    valid_start_timestamp: start,
  };
}

/** As `transactionJson`, where a transaction is asked for by its id. */
export function transactionDetailJson(handled: HandledTransaction): Record<string, unknown> {
  return { ...transactionJson(handled), assessed_custom_fees: [] };
}
