/**
 * The registry contract's interface (`contracts/CheckpointRegistry.sol`) as bytes: calls, the event, the errors.
 * Values are lower-case hex with `0x`, as mirrors show them; words have 32 bytes (Solidity ABI, static types only).
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromHex, toHex, utf8 } from '../bytes.ts';
import { parseAnchorMessage } from './anchor-message.ts';

/** First four bytes of Keccak-256 of each signature; a test compares them with the compiler's. */
export const REGISTRY_SELECTORS = {
  anchor: '0x427dc920',
  get: '0x8eaa6ac0',
  isPublisher: '0x41859ac8',
  isPaused: '0xb187bd26',
  owner: '0x8da5cb5b',
} as const;

export const REGISTRY_ERRORS = {
  AlreadyAnchored: '0x7332e7a7',
  NotOwner: '0x245aecd3',
  NotPendingOwner: '0xa09b9a43',
  NotPublisher: '0xe35593b5',
  WritesPaused: '0x86760b86',
  ZeroOwner: '0x9905827b',
  ZeroRoot: '0xb263ae73',
} as const;

export type RegistryError = keyof typeof REGISTRY_ERRORS;

/** Keccak-256 of `Anchored(bytes32,uint64,address,uint64,bytes32)`. */
export const ANCHORED_TOPIC = '0x543eaf57d7f7f11fde9fd7e681c4ade601bd3c620d5b597bedbdca57b16b391e';

const WORD_DIGITS = 64;
const MAX_UINT64 = 2n ** 64n - 1n;

/** What `anchor` takes and the event shows. */
export interface RegistryEntry {
  /** `0x` and 64 digits. */
  readonly root: string;
  /** Decimal of the origin id's 64 bits. */
  readonly originId: bigint;
  readonly treeSize: bigint;
  /** SHA-256 of the anchor message: it binds the event to the message's format. */
  readonly meta: string;
}

/** The entry that an anchor message (`pl1|…`) makes. Undefined for another text, or a size beyond 64 bits. */
export function registryEntryOf(message: string): RegistryEntry | undefined {
  const parsed = parseAnchorMessage(message);
  if (parsed === undefined || parsed.size > MAX_UINT64) return undefined;
  return {
    root: `0x${toHex(parsed.root)}`,
    originId: BigInt(`0x${parsed.originId}`),
    treeSize: parsed.size,
    meta: `0x${toHex(sha256(utf8.encode(message)))}`,
  };
}

/** Calldata of `anchor(bytes32,uint64,uint64,bytes32)`. */
export function encodeAnchorCall({ root, originId, treeSize, meta }: RegistryEntry): string {
  return `${REGISTRY_SELECTORS.anchor}${[root, originId, treeSize, meta].map(word).join('')}`;
}

/** Calldata of `get(bytes32)`. */
export function encodeGetCall(root: string): string {
  return `${REGISTRY_SELECTORS.get}${word(root)}`;
}

/** The topics of the event that the entry makes, published by an address of 20 bytes. */
export function topicsOf({ root, originId }: RegistryEntry, publisher: string): readonly string[] {
  return [ANCHORED_TOPIC, root, `0x${word(originId)}`, `0x${word(publisher)}`];
}

/** The event's data. */
export function eventDataOf({ treeSize, meta }: RegistryEntry): string {
  return `0x${word(treeSize)}${word(meta)}`;
}

/** What `get` returned; undefined if it is no entry. `anchoredAt` in seconds, 0 for a root that is not there. */
export function decodeGet(
  output: string,
): { readonly anchoredAt: bigint; readonly originId: bigint; readonly treeSize: bigint } | undefined {
  const words = wordsOf(output, '');
  if (words?.length !== 3) return undefined;
  const [anchoredAt = 0n, originId = 0n, treeSize = 0n] = words;
  return { anchoredAt, originId, treeSize };
}

/** When the root was anchored first, of the contract's refusal; undefined for any other. */
export function decodeAlreadyAnchored(
  error: string,
): { readonly root: string; readonly anchoredAt: bigint } | undefined {
  const words = wordsOf(error, REGISTRY_ERRORS.AlreadyAnchored.slice(2));
  if (words?.length !== 2) return undefined;
  const [root = 0n, anchoredAt = 0n] = words;
  return anchoredAt > MAX_UINT64 ? undefined : { root: `0x${word(root)}`, anchoredAt };
}

/** The name of the error that the contract reverted with; undefined if it is none of its own. */
export function nameRegistryError(error: string): RegistryError | undefined {
  const names = Object.keys(REGISTRY_ERRORS) as RegistryError[];
  return names.find((name) => error.startsWith(REGISTRY_ERRORS[name]));
}

/** The address of an account without alias: 20 bytes that end in its number. */
export function longZeroAddress(num: bigint): string {
  return `0x${num.toString(16).padStart(40, '0')}`;
}

/** 64 digits: a number, or `0x` hex of at most 32 bytes, padded on the left. */
function word(value: bigint | string): string {
  const digits = typeof value === 'bigint' ? value.toString(16) : value.slice(2);
  return digits.padStart(WORD_DIGITS, '0');
}

function wordsOf(text: string, selector: string): bigint[] | undefined {
  const prefix = `0x${selector}`;
  const digits = text.slice(prefix.length);
  if (!text.startsWith(prefix) || digits.length % WORD_DIGITS !== 0 || digits.length > 8 * WORD_DIGITS)
    return undefined;
  if (fromHex(digits) === undefined) return undefined;
  return Array.from({ length: digits.length / WORD_DIGITS }, (_, i) =>
    BigInt(`0x${digits.slice(i * WORD_DIGITS, (i + 1) * WORD_DIGITS)}`),
  );
}
