/**
 * What one mirror shows, in the JSON of the mirror node's REST interface. A row is visible once the mirror's lag has
 * passed since it was handled, and not while the mirror is paused. Record blocks close every two seconds, empty or not.
 */
import { createHash } from 'node:crypto';
import type { proto } from '@hiero-ledger/proto';
import { FEE_SCHEDULE, feeTinybars } from './fees.ts';
import type { SimClock } from './sim-clock.ts';
import type { HandledTransaction, LedgerState, Topic, TopicMessage } from './state.ts';
import { nanosToText } from './wire.ts';

const BLOCK_SECONDS = 2n;
const SECOND_NANOS = 1_000_000_000n;

export interface MirrorControl {
  lagMs: number;
  /** Rows handled after this instant stay invisible. */
  pausedAtMs: number | undefined;
}

export interface MirrorContext {
  readonly state: LedgerState;
  readonly clock: SimClock;
  readonly control: MirrorControl;
  readonly bornAtMs: number;
  /** `0.0.3` → `127.0.2.3:50211`. */
  readonly nodes: ReadonlyMap<string, string>;
}

/** The newest instant whose rows this mirror has imported. */
export function horizonMs({ clock, control }: MirrorContext): number {
  const now = clock.nowMs() - control.lagMs;
  return control.pausedAtMs === undefined ? now : Math.min(now, control.pausedAtMs);
}

export const isVisible = (context: MirrorContext, row: { handledAtMs: number }): boolean =>
  row.handledAtMs <= horizonMs(context);

export function topicJson(topic: Topic): Record<string, unknown> {
  return {
    admin_key: keyJson(topic.adminKey),
    auto_renew_account: null,
    auto_renew_period: 7_776_000,
    created_timestamp: nanosToText(topic.createdNanos),
    custom_fees: { created_timestamp: nanosToText(topic.createdNanos), fixed_fees: [] },
    deleted: topic.isDeleted,
    fee_exempt_key_list: [],
    fee_schedule_key: null,
    memo: topic.memo,
    submit_key: keyJson(topic.submitKey),
    timestamp: { from: nanosToText(topic.createdNanos), to: null },
    topic_id: topic.id,
  };
}

export function keyJson(key: proto.IKey | undefined): { _type: string; key: string } | null {
  if (key === undefined) return null;
  if (key.ed25519 != null && key.ed25519.length > 0)
    return { _type: 'ED25519', key: Buffer.from(key.ed25519).toString('hex') };
  return { _type: 'ProtobufEncoded', key: '' };
}

export function messageJson(row: TopicMessage): Record<string, unknown> {
  const [account, start] = row.initialTransaction.id.split('@');
  return {
    chunk_info: {
      initial_transaction_id: { account_id: account, nonce: 0, scheduled: false, transaction_valid_start: start },
      number: row.initialTransaction.number,
      total: row.initialTransaction.total,
    },
    consensus_timestamp: nanosToText(row.consensusNanos),
    message: Buffer.from(row.message).toString('base64'),
    payer_account_id: row.payer,
    running_hash: Buffer.from(row.runningHash).toString('base64'),
    running_hash_version: 3,
    sequence_number: Number(row.sequenceNumber),
    topic_id: row.topic,
  };
}

export function transactionJson(handled: HandledTransaction): Record<string, unknown> {
  const [payer, start] = handled.id.split('@') as [string, string];
  return {
    batch_key: null,
    bytes: null,
    charged_tx_fee: Number(handled.chargedFee),
    consensus_timestamp: nanosToText(handled.consensusNanos),
    entity_id: handled.entity ?? null,
    max_fee: handled.maxFee.toString(),
    max_custom_fees: [],
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
    transfers: [
      { account: payer, amount: -Number(handled.chargedFee), is_approval: false },
      { account: '0.0.98', amount: Number(handled.chargedFee), is_approval: false },
    ],
    valid_duration_seconds: handled.validSeconds.toString(),
    valid_start_timestamp: start,
  };
}

/** The number of the newest closed block that this mirror has, or -1. */
export function newestBlock(context: MirrorContext): number {
  return Math.floor((horizonMs(context) - genesisSecond(context) * 1_000) / (Number(BLOCK_SECONDS) * 1_000)) - 1;
}

const genesisSecond = ({ bornAtMs }: MirrorContext): number => Math.floor(bornAtMs / 1_000);

export function blockJson(context: MirrorContext, number: number): Record<string, unknown> {
  const fromSecond = BigInt(genesisSecond(context)) + BigInt(number) * BLOCK_SECONDS;
  const from = fromSecond * SECOND_NANOS;
  const to = from + BLOCK_SECONDS * SECOND_NANOS - 1n;
  const inside = context.state.transactions.filter(
    (handled) => handled.consensusNanos >= from && handled.consensusNanos <= to,
  );
  return {
    count: inside.length,
    gas_used: 0,
    hapi_version: '0.75.0',
    hash: `0x${blockHash(number)}`,
    logs_bloom: '0x',
    name: `${new Date(Number(fromSecond) * 1_000).toISOString().replaceAll(':', '_')}.rcd.gz`,
    number,
    previous_hash: `0x${blockHash(number - 1)}`,
    size: null,
    timestamp: { from: nanosToText(from), to: nanosToText(to) },
  };
}

const blockHash = (number: number): string => createHash('sha384').update(`block ${number}`).digest('hex');

export function nodesJson({ nodes }: MirrorContext): Record<string, unknown>[] {
  return [...nodes].map(([id, address], i) => {
    const [host, port] = address.split(':');
    return {
      description: `simulated node ${i}`,
      file_id: '0.0.102',
      memo: id,
      node_account_id: id,
      node_id: i,
      public_key: '0x',
      service_endpoints: [{ domain_name: '', ip_address_v4: host, port: Number(port) }],
      timestamp: { from: '0.000000000', to: null },
    };
  });
}

export function exchangeRateJson(): Record<string, unknown> {
  const rate = { cent_equivalent: FEE_SCHEDULE.centsPerHbar, expiration_time: 4_102_444_800, hbar_equivalent: 1 };
  return { current_rate: rate, next_rate: rate, timestamp: '0.000000000' };
}

export function feesJson(): Record<string, unknown> {
  const fee = feeTinybars({ kind: 'consensusSubmitMessage', signatures: 1, messageBytes: 100, keys: 0 });
  return { fees: [{ gas: Number(fee), transaction_type: 'ConsensusSubmitMessage' }], timestamp: '0.000000000' };
}
