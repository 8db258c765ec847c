/**
 * Signatures as a consensus node judges them: a signature pair names its key by a prefix; a prefix that fits several
 * keys, or a pair of a kind that the key is not, counts for nothing. Ed25519 keys, key lists and threshold keys.
 */
import { createPublicKey, verify } from 'node:crypto';
import type { proto } from '@hiero-ledger/proto';

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** Whether `pairs` over `bodyBytes` satisfy `key`. An empty list of keys is satisfied by nothing. */
export function isSatisfied(key: proto.IKey, pairs: readonly proto.ISignaturePair[], bodyBytes: Uint8Array): boolean {
  if (isPresent(key.ed25519)) return isSignedBy(key.ed25519, pairs, bodyBytes);
  const threshold = key.thresholdKey;
  if (threshold) return countSatisfied(threshold.keys, pairs, bodyBytes) >= Math.max(1, threshold.threshold ?? 0);
  const keys = key.keyList?.keys ?? [];
  return keys.length > 0 && countSatisfied(key.keyList, pairs, bodyBytes) === keys.length;
}

function countSatisfied(
  list: proto.IKeyList | null | undefined,
  pairs: readonly proto.ISignaturePair[],
  bodyBytes: Uint8Array,
): number {
  return (list?.keys ?? []).filter((key) => isSatisfied(key, pairs, bodyBytes)).length;
}

function isSignedBy(publicKey: Uint8Array, pairs: readonly proto.ISignaturePair[], bodyBytes: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, publicKey]), format: 'der', type: 'spki' });
  return pairs.some(
    (pair) =>
      isPresent(pair.ed25519) &&
      startsWith(publicKey, pair.pubKeyPrefix ?? new Uint8Array()) &&
      verify(null, bodyBytes, key, pair.ed25519),
  );
}

/** Whether two pairs name their keys so that one prefix begins the other: then nobody can say whose signature it is. */
export function hasAmbiguousPrefixes(pairs: readonly proto.ISignaturePair[]): boolean {
  const prefixes = pairs.map((pair) => pair.pubKeyPrefix ?? new Uint8Array());
  return prefixes.some((a, i) => prefixes.some((b, j) => i !== j && startsWith(b, a)));
}

/** Every primitive key inside, for judging whether a key is well-formed. */
export function isWellFormedKey(key: proto.IKey): boolean {
  if (isPresent(key.ed25519)) return key.ed25519.length === 32;
  const keys = key.thresholdKey?.keys?.keys ?? key.keyList?.keys ?? [];
  return keys.length > 0 && keys.every(isWellFormedKey);
}

/** An empty key list is how the API says "remove this key". */
export function isRemoval(key: proto.IKey | null | undefined): boolean {
  return key?.keyList != null && (key.keyList.keys ?? []).length === 0;
}

function isPresent(bytes: Uint8Array | null | undefined): bytes is Uint8Array {
  return bytes != null && bytes.length > 0;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.length <= bytes.length && prefix.every((byte, i) => byte === bytes[i]);
}
