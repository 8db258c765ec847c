/**
 * The message by which a checkpoint stands on a ledger: one ASCII line `pl1|<origin id>|<size>|<root>` of at most
 * 100 bytes, so that its fee is the smallest. The origin id is the first 16 hex digits of SHA-256(origin): it tells
 * logs of one topic apart and reveals no name. A root is base64url without padding.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { fromBase64Url, toBase64Url, toHex, utf8 } from '../bytes.ts';
import { ProoflineError } from '../errors.ts';

export const ANCHOR_MESSAGE_MAX_BYTES = 100;
const ROOT_BYTES = 32;
const MAX_SIZE = 2n ** 64n - 1n;
const MESSAGE = /^pl1\|([0-9a-f]{16})\|(0|[1-9][0-9]{0,19})\|([A-Za-z0-9_-]{43})$/;

export interface AnchorMessage {
  readonly originId: string;
  readonly size: bigint;
  /** 32 bytes: the root of the tree of that size. */
  readonly root: Uint8Array;
}

/** The short name of a log in its anchor messages: 16 lower-case hex digits. */
export function originId(origin: string): string {
  return toHex(sha256(utf8.encode(origin))).slice(0, 16);
}

/** The message of a checkpoint, ≤ 100 ASCII bytes. Throws ANCHOR_MESSAGE_TOO_LONG, or LOG_MALFORMED for a root of another length. */
export function buildAnchorMessage(checkpoint: { origin: string; size: bigint; root: Uint8Array }): string {
  const { origin, size, root } = checkpoint;
  if (root.length !== ROOT_BYTES) throw new ProoflineError('LOG_MALFORMED', `a root has 32 bytes, not ${root.length}`);
  if (size < 0n || size > MAX_SIZE) throw new ProoflineError('LOG_MALFORMED', `a tree of size ${size}`);
  const message = `pl1|${originId(origin)}|${size}|${toBase64Url(root)}`;
  if (message.length > ANCHOR_MESSAGE_MAX_BYTES) {
    throw new ProoflineError('ANCHOR_MESSAGE_TOO_LONG', `${message.length} bytes`);
  }
  return message;
}

/** Undefined unless `message` is exactly what `buildAnchorMessage` writes; an unknown version is not ours. */
export function parseAnchorMessage(message: string): AnchorMessage | undefined {
  const match = MESSAGE.exec(message);
  if (match === null) return undefined;
  const [, id, size, root] = match as unknown as [string, string, string, string];
  const bytes = fromBase64Url(root);
  const parsedSize = BigInt(size);
  if (bytes === undefined || bytes.length !== ROOT_BYTES || parsedSize > MAX_SIZE) return undefined;
  return { originId: id, size: parsedSize, root: bytes };
}
