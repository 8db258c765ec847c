/**
 * The running hash of a Hedera topic, version 3. A consensus node hashes the bytes that Java's ObjectOutputStream
 * writes for the previous hash, a block of numbers and the hash of the message: a fixed frame of 211 bytes, whose
 * constants stand below. It chains every message of a topic to all earlier ones.
 */
import { sha384 } from '@noble/hashes/sha2.js';
import { concatBytes } from '../bytes.ts';
import { ProoflineError } from '../errors.ts';
import type { EntityId, LedgerTime } from './entity-id.ts';

export const RUNNING_HASH_VERSION = 3;
export const RUNNING_HASH_BYTES = 48;
/** The predecessor of a topic's first message. */
export const FIRST_PREV_RUNNING_HASH: Uint8Array = new Uint8Array(RUNNING_HASH_BYTES);

/** Stream header, then the class description of `byte[]` and the length of the array that follows. */
const HEAD = Uint8Array.of(
  ...[0xac, 0xed, 0x00, 0x05, 0x75, 0x72, 0x00, 0x02, 0x5b, 0x42, 0xac, 0xf3, 0x17, 0xf8, 0x06, 0x08, 0x54, 0xe0],
  ...[0x02, 0x00, 0x00, 0x78, 0x70, 0x00, 0x00, 0x00, RUNNING_HASH_BYTES],
);
/** TC_BLOCKDATA and the length of the block of numbers. */
const NUMBERS_HEAD = Uint8Array.of(0x77, 76);
/** A second `byte[]`: reference to the class description above, and its length. */
const MESSAGE_HASH_HEAD = Uint8Array.of(0x75, 0x71, 0x00, 0x7e, 0x00, 0x00, 0x00, 0x00, 0x00, RUNNING_HASH_BYTES);

export interface RunningHashInput {
  /** 48 bytes; zeros before the first message. */
  readonly prevRunningHash: Uint8Array;
  readonly payer: EntityId;
  readonly topicId: EntityId;
  readonly consensusTimestamp: LedgerTime;
  readonly sequenceNumber: bigint;
  /** The message of this chunk, whole. */
  readonly message: Uint8Array;
}

/** The 48 bytes of the running hash after this message. Throws REQUEST_INVALID if the predecessor is not 48 bytes. */
export function runningHashV3(input: RunningHashInput): Uint8Array {
  if (input.prevRunningHash.length !== RUNNING_HASH_BYTES) {
    throw new ProoflineError('REQUEST_INVALID', `a running hash has 48 bytes, not ${input.prevRunningHash.length}`);
  }
  const numbers = new DataView(new ArrayBuffer(76));
  numbers.setBigInt64(0, BigInt(RUNNING_HASH_VERSION));
  writeEntity(numbers, 8, input.payer);
  writeEntity(numbers, 32, input.topicId);
  numbers.setBigInt64(56, input.consensusTimestamp.seconds);
  numbers.setInt32(64, input.consensusTimestamp.nanos);
  numbers.setBigInt64(68, input.sequenceNumber);
  return sha384(
    concatBytes(
      HEAD,
      input.prevRunningHash,
      NUMBERS_HEAD,
      new Uint8Array(numbers.buffer),
      MESSAGE_HASH_HEAD,
      sha384(input.message),
    ),
  );
}

function writeEntity(view: DataView, at: number, id: EntityId): void {
  view.setBigInt64(at, id.shard);
  view.setBigInt64(at + 8, id.realm);
  view.setBigInt64(at + 16, id.num);
}
