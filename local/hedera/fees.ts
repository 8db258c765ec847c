/**
 * Fees of the network since consensus node 0.73, in US dollars (`fee-schedule.json`), charged in tinybars at one fixed
 * rate. One signature, 100 message bytes and 1,350 processing bytes are included.
 */
import { readFileSync } from 'node:fs';

/** Bodies that have a fee: those that are handled. */
export const TRANSACTION_KINDS = [
  'consensusSubmitMessage',
  'consensusCreateTopic',
  'consensusUpdateTopic',
  'consensusDeleteTopic',
  'cryptoCreateAccount',
  'cryptoUpdateAccount',
  'cryptoTransfer',
  'contractCreateInstance',
  'contractCall',
] as const;

export type TransactionKind = (typeof TRANSACTION_KINDS)[number];

export interface FeeSchedule {
  readonly centsPerHbar: number;
  readonly nodeUsd: number;
  /** The network's fee is this many times the node's. */
  readonly networkFactor: number;
  readonly includedSignatures: number;
  readonly perExtraSignatureUsd: number;
  readonly includedMessageBytes: number;
  readonly perExtraMessageByteUsd: number;
  /** For each key that a topic is created with. */
  readonly perKeyUsd: number;
  /** A paid query. */
  readonly queryUsd: number;
  /** A unit of gas. */
  readonly gasUsd: number;
  readonly serviceUsd: Readonly<Record<TransactionKind, number>>;
}

export const FEE_SCHEDULE = JSON.parse(
  readFileSync(new URL('./fee-schedule.json', import.meta.url), 'utf8'),
) as FeeSchedule;

export interface FeeInput {
  readonly kind: TransactionKind;
  readonly signatures: number;
  readonly messageBytes: number;
  /** Keys that a topic is created with. */
  readonly keys: number;
  /** That a contract transaction reserves. */
  readonly gas?: bigint;
}

/** In tinybars. */
export interface Fee {
  readonly node: bigint;
  readonly network: bigint;
  readonly service: bigint;
  readonly total: bigint;
}

export function feeOfKind({ kind, signatures, messageBytes, keys, gas = 0n }: FeeInput): Fee {
  const schedule = FEE_SCHEDULE;
  const service =
    schedule.serviceUsd[kind] +
    schedule.perExtraSignatureUsd * Math.max(0, signatures - schedule.includedSignatures) +
    schedule.perKeyUsd * keys +
    schedule.perExtraMessageByteUsd * Math.max(0, messageBytes - schedule.includedMessageBytes);
  return withService(tinybars(service) + gasFee(gas));
}

/** In tinybars. */
export const gasFee = (gas: bigint): bigint => tinybars(FEE_SCHEDULE.gasUsd * Number(gas));

/** What a duplicate costs: nothing was served. */
export const nodeAndNetworkFee = (): Fee => withService(0n);

/** What a paid query costs, in tinybars. */
export const queryFee = (): bigint => tinybars(FEE_SCHEDULE.queryUsd);

export function withService(service: bigint): Fee {
  const nodeAndNetwork = tinybars(FEE_SCHEDULE.nodeUsd * (1 + FEE_SCHEDULE.networkFactor));
  const node = tinybars(FEE_SCHEDULE.nodeUsd);
  return { node, network: nodeAndNetwork - node, service, total: nodeAndNetwork + service };
}

/** At the schedule's rate, rounded to the nearest. */
export function tinybars(usd: number): bigint {
  return BigInt(Math.round(((usd * 100) / FEE_SCHEDULE.centsPerHbar) * 100_000_000));
}
