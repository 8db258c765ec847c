/**
 * Names of things on Hedera in their one text form: entities `shard.realm.num`, consensus timestamps
 * `seconds.nanoseconds`, transaction ids `payer@seconds.nanoseconds`. Any other spelling is refused, so that two
 * texts are equal exactly when they name the same thing.
 */

export interface EntityId {
  readonly shard: bigint;
  readonly realm: bigint;
  readonly num: bigint;
}

/** An instant with nanoseconds: of consensus, or of the start of a transaction's validity. */
export interface LedgerTime {
  readonly seconds: bigint;
  readonly nanos: number;
}

export interface LedgerTransactionId {
  readonly payer: EntityId;
  readonly validStart: LedgerTime;
}

const MAX_LONG = 2n ** 63n - 1n;
const ENTITY = /^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})$/;
const TIME = /^(0|[1-9][0-9]{0,18})\.([0-9]{9})$/;

/** Undefined unless `text` is `shard.realm.num` with numbers below 2^63 and no leading zeros. */
export function parseEntityId(text: string): EntityId | undefined {
  const match = ENTITY.exec(text);
  if (match === null) return undefined;
  const [shard, realm, num] = match.slice(1).map((part) => BigInt(part)) as [bigint, bigint, bigint];
  return shard > MAX_LONG || realm > MAX_LONG || num > MAX_LONG ? undefined : { shard, realm, num };
}

export function formatEntityId(id: EntityId): string {
  return `${id.shard}.${id.realm}.${id.num}`;
}

/** Undefined unless `text` is `seconds.nnnnnnnnn`: exactly nine fraction digits. */
export function parseLedgerTime(text: string): LedgerTime | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const seconds = BigInt(match[1] as string);
  return seconds > MAX_LONG ? undefined : { seconds, nanos: Number(match[2]) };
}

export function formatLedgerTime(time: LedgerTime): string {
  return `${time.seconds}.${time.nanos.toString().padStart(9, '0')}`;
}

/** Undefined unless `text` is `shard.realm.num@seconds.nnnnnnnnn`. */
export function parseTransactionId(text: string): LedgerTransactionId | undefined {
  const at = text.indexOf('@');
  const payer = parseEntityId(text.slice(0, Math.max(at, 0)));
  const validStart = parseLedgerTime(text.slice(at + 1));
  return payer === undefined || validStart === undefined ? undefined : { payer, validStart };
}

export function formatTransactionId(id: LedgerTransactionId): string {
  return `${formatEntityId(id.payer)}@${formatLedgerTime(id.validStart)}`;
}

/** The form of a transaction id in mirror paths: `shard.realm.num-seconds-nnnnnnnnn`. */
export function formatMirrorTransactionId(id: LedgerTransactionId): string {
  return `${formatEntityId(id.payer)}-${formatLedgerTime(id.validStart).replace('.', '-')}`;
}
