/** A mirror's routes for the network itself: nodes, exchange rate, fees and fee estimates. */
import type { BookNode } from './address-book.ts';
import { FEE_SCHEDULE, gasFee, tinybars } from './fees.ts';
import { feeOf } from './ingest.ts';
import type { MirrorContext } from './mirror-context.ts';
import {
  type Answer,
  BadParameter,
  cut,
  linkAfter,
  type MirrorRequest,
  ok,
  parseInteger,
  problem,
  readPage,
  readRange,
} from './mirror-query.ts';
import { certificateHashHex, rsaPublicKeyHex } from './node-identity.ts';
import { decodeTransaction, isHandled } from './transaction.ts';
import { nanosToText } from './wire.ts';

const ADDRESS_BOOK_FILES = ['0.0.101', '0.0.102'];
const NODE_STAKE = 1_000_000_000_000_000;
const RATE_EXPIRES_AT_SECOND = 4_102_444_800;
const DAY_NANOS = 86_400_000_000_000n;

export function listNodes({ context, url }: MirrorRequest): Answer {
  const file = url.searchParams.get('file.id')?.replace(/^eq:/, '') ?? '0.0.102';
  const fileId = /^\d+$/.test(file) ? `0.0.${file}` : file;
  if (!ADDRESS_BOOK_FILES.includes(fileId)) throw new BadParameter('file.id');
  const page = readPage(url, 'asc');
  const isWanted = readRange(url, 'node.id', parseInteger);
  const rows = context.book.nodes.filter((node) => isWanted(BigInt(node.index)));
  const shown = cut(rows, page);
  const cursor = { name: 'node.id', last: shown.at(-1)?.index.toString() };
  return ok({
    links: { next: linkAfter(url, page, cursor, shown.length === rows.length) },
    nodes: shown.map((node) => nodeJson(context, node, fileId)),
  });
}

function nodeJson(context: MirrorContext, node: BookNode, fileId: string): Record<string, unknown> {
  const bornNanos = BigInt(context.bornAtMs) * 1_000_000n;
  const now = context.clock.nowNanos();
  const today = now - (now % DAY_NANOS);
  return {
    admin_key: null,
    decline_reward: false,
    description: `simulated node ${node.index}`,
    file_id: fileId,
    grpc_proxy_endpoint: null,
    max_stake: NODE_STAKE,
    memo: node.accountId,
    min_stake: 0,
    node_account_id: node.accountId,
    // The address book holds the hash as text, and mirrors show the book's bytes.
    node_cert_hash: `0x${Buffer.from(certificateHashHex(node.identity), 'utf8').toString('hex')}`,
    node_id: node.index,
    public_key: `0x${rsaPublicKeyHex(node.identity)}`,
    reward_rate_start: 0,
    service_endpoints: [node.port, node.tlsPort]
      .filter((port) => port !== undefined)
      .map((port) => ({ domain_name: '', ip_address_v4: node.host, port })),
    stake: NODE_STAKE,
    stake_not_rewarded: NODE_STAKE,
    stake_rewarded: 0,
    staking_period: { from: nanosToText(today), to: nanosToText(today + DAY_NANOS) },
    timestamp: { from: nanosToText(bornNanos), to: null },
  };
}

export function exchangeRate({ context }: MirrorRequest): Answer {
  const rate = {
    cent_equivalent: FEE_SCHEDULE.centsPerHbar,
    expiration_time: RATE_EXPIRES_AT_SECOND,
    hbar_equivalent: 1,
  };
  return ok({ current_rate: rate, next_rate: rate, timestamp: nanosToText(context.clock.nowNanos()) });
}

/** What a unit of gas costs, all that mirrors tell here; other prices are asked for by a transaction (POST). */
export function listFees({ context, url }: MirrorRequest): Answer {
  const { isDescending } = readPage(url, 'asc');
  const types = ['ContractCall', 'ContractCreate', 'EthereumTransaction'];
  const fees = types.map((type) => ({ gas: Number(gasFee(1n)), transaction_type: type }));
  return ok({ fees: isDescending ? fees.reverse() : fees, timestamp: nanosToText(context.clock.nowNanos()) });
}

/** What the transaction in the body would cost, in the parts that HIP-1261 names. */
export function estimateFee({ url, body }: MirrorRequest): Answer {
  const mode = url.searchParams.get('mode') ?? 'INTRINSIC';
  if (mode !== 'INTRINSIC' && mode !== 'STATE') throw new BadParameter('mode');
  const transaction = decodeTransaction(body);
  if (transaction === undefined || !isHandled(transaction.kind)) return problem(400, 'Unable to parse transaction');
  const fee = feeOf(transaction);
  const topic = transaction.body.consensusCreateTopic;
  const keys = [topic?.adminKey, topic?.submitKey].filter((key) => key != null).length;
  const messageBytes = transaction.body.consensusSubmitMessage?.message?.length ?? 0;
  const extras = [
    extra('SIGNATURES', transaction.pairs.length, FEE_SCHEDULE.includedSignatures, FEE_SCHEDULE.perExtraSignatureUsd),
    extra('KEYS', keys, 0, FEE_SCHEDULE.perKeyUsd),
    extra('BYTES', messageBytes, FEE_SCHEDULE.includedMessageBytes, FEE_SCHEDULE.perExtraMessageByteUsd),
  ].filter(({ count }) => count > 0);
  const extrasTotal = extras.reduce((sum, { subtotal }) => sum + subtotal, 0);
  return ok({
    high_volume_multiplier: 1,
    network: { multiplier: FEE_SCHEDULE.networkFactor, subtotal: Number(fee.network) },
    node: { base: Number(fee.node), extras: [] },
    service: { base: Number(fee.service) - extrasTotal, extras },
    total: Number(fee.total),
  });
}

function extra(name: string, count: number, included: number, perUnitUsd: number) {
  const charged = Math.max(0, count - included);
  return {
    charged,
    count,
    fee_per_unit: Number(tinybars(perUnitUsd)),
    included: Math.min(count, included),
    name,
    subtotal: Number(tinybars(perUnitUsd * charged)),
  };
}
