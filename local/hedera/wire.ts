/** Between protobuf messages of the Hedera API and plain values: longs are bigint, ids are text. */
import { proto } from '@hiero-ledger/proto';
import Long from 'long';
import { formatEntityId, parseEntityId } from '../../domain/ledger/entity-id.ts';

export type Status = keyof typeof proto.ResponseCodeEnum;
type Numeric = { toString(): string } | null | undefined;

export const toBig = (value: Numeric): bigint => BigInt((value ?? 0).toString());
export const toLong = (value: bigint) => Long.fromString(value.toString());
export const codeOf = (status: Status): number => proto.ResponseCodeEnum[status];

export function timeToNanos(time: proto.ITimestamp | null | undefined): bigint {
  return toBig(time?.seconds) * 1_000_000_000n + BigInt(time?.nanos ?? 0);
}

export function nanosToTime(nanos: bigint): proto.ITimestamp {
  return { seconds: toLong(nanos / 1_000_000_000n), nanos: Number(nanos % 1_000_000_000n) };
}

export function nanosToText(nanos: bigint): string {
  return `${nanos / 1_000_000_000n}.${(nanos % 1_000_000_000n).toString().padStart(9, '0')}`;
}

export function accountText(id: proto.IAccountID | null | undefined): string {
  return formatEntityId({ shard: toBig(id?.shardNum), realm: toBig(id?.realmNum), num: toBig(id?.accountNum) });
}

export function accountId(text: string): proto.IAccountID {
  const id = entity(text);
  return { shardNum: toLong(id.shard), realmNum: toLong(id.realm), accountNum: toLong(id.num) };
}

export function topicText(id: proto.ITopicID | null | undefined): string {
  return formatEntityId({ shard: toBig(id?.shardNum), realm: toBig(id?.realmNum), num: toBig(id?.topicNum) });
}

export function topicId(text: string): proto.ITopicID {
  const id = entity(text);
  return { shardNum: toLong(id.shard), realmNum: toLong(id.realm), topicNum: toLong(id.num) };
}

/** `payer@seconds.nanos`, with `+nonce` and `?scheduled` refused earlier by ingest. */
export function transactionIdText(id: proto.ITransactionID): string {
  return `${accountText(id.accountID)}@${nanosToText(timeToNanos(id.transactionValidStart))}`;
}

function entity(text: string) {
  const id = parseEntityId(text);
  if (id === undefined) throw new Error(`not an entity id: ${text}`);
  return id;
}
