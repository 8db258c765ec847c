/**
 * Signatures as a consensus node judges them: a signature pair names its key by a prefix; a prefix that fits several
 * keys, or a pair of a kind that the key is not, counts for nothing. Ed25519 over the body bytes, ECDSA secp256k1 over
 * their Keccak-256, key lists and threshold keys to any depth that the network allows.
 */
import { createPublicKey, verify } from 'node:crypto';
import type { proto } from '@hiero-ledger/proto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const ED25519_KEY_BYTES = 32;
/** A point of secp256k1, compressed. */
const ECDSA_KEY_BYTES = 33;
const ECDSA_SIGNATURE_BYTES = 64;
/** Lists inside lists: what a node still reads. */
const MAX_KEY_DEPTH = 15;

/** Whether `pairs` over `bodyBytes` satisfy `key`. An empty list of keys is satisfied by nothing. */
export function isSatisfied(key: proto.IKey, pairs: readonly proto.ISignaturePair[], bodyBytes: Uint8Array): boolean {
  if (isPresent(key.ed25519)) return isSignedByEd25519(key.ed25519, pairs, bodyBytes);
  if (isPresent(key.ECDSASecp256k1)) return isSignedByEcdsa(key.ECDSASecp256k1, pairs, bodyBytes);
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

function isSignedByEd25519(
  publicKey: Uint8Array,
  pairs: readonly proto.ISignaturePair[],
  bodyBytes: Uint8Array,
): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, publicKey]), format: 'der', type: 'spki' });
  return pairs.some(
    (pair) =>
      isPresent(pair.ed25519) && isNamedBy(pair, publicKey) && verify(null, bodyBytes, key, Buffer.from(pair.ed25519)),
  );
}

/** r‖s of 64 bytes; a high s counts too, as the network brings it down itself. */
function isSignedByEcdsa(
  publicKey: Uint8Array,
  pairs: readonly proto.ISignaturePair[],
  bodyBytes: Uint8Array,
): boolean {
  return pairs.some((pair) => {
    const signature = pair.ECDSASecp256k1;
    if (!isPresent(signature) || signature.length !== ECDSA_SIGNATURE_BYTES || !isNamedBy(pair, publicKey))
      return false;
    try {
      const digest = keccak_256(bodyBytes);
      return secp256k1.verify(Uint8Array.from(signature), digest, publicKey, { prehash: false, lowS: false });
    } catch {
      return false; // r or s out of range: no signature at all
    }
  });
}

/** Whether two pairs name their keys so that one prefix begins the other: then nobody can say whose signature it is. */
export function hasAmbiguousPrefixes(pairs: readonly proto.ISignaturePair[]): boolean {
  const prefixes = pairs.map((pair) => pair.pubKeyPrefix ?? new Uint8Array());
  return prefixes.some((a, i) => prefixes.some((b, j) => i !== j && startsWith(b, a)));
}

/** Whether every primitive key inside is one, no list is empty, and every threshold can be reached. */
export function isWellFormedKey(key: proto.IKey, depth = 1): boolean {
  if (depth > MAX_KEY_DEPTH) return false;
  if (isPresent(key.ed25519)) return key.ed25519.length === ED25519_KEY_BYTES;
  if (isPresent(key.ECDSASecp256k1)) return isPoint(key.ECDSASecp256k1);
  const keys = key.thresholdKey?.keys?.keys ?? key.keyList?.keys ?? [];
  const threshold = key.thresholdKey?.threshold ?? keys.length;
  return (
    keys.length > 0 &&
    threshold >= 1 &&
    threshold <= keys.length &&
    keys.every((inner) => isWellFormedKey(inner, depth + 1))
  );
}

/** An empty key list is how the API says "remove this key". */
export function isRemoval(key: proto.IKey | null | undefined): boolean {
  return key?.keyList != null && (key.keyList.keys ?? []).length === 0;
}

/** The last 20 bytes of the Keccak-256 of an ECDSA key's point: the address that it has in the EVM. */
export function evmAddressOf(ecdsaPublicKey: Uint8Array): Uint8Array {
  return keccak_256(secp256k1.Point.fromBytes(ecdsaPublicKey).toBytes(false).subarray(1)).subarray(12);
}

function isPoint(publicKey: Uint8Array): boolean {
  try {
    secp256k1.Point.fromBytes(publicKey).assertValidity();
    return publicKey.length === ECDSA_KEY_BYTES;
  } catch {
    return false;
  }
}

const isNamedBy = (pair: proto.ISignaturePair, publicKey: Uint8Array): boolean =>
  startsWith(publicKey, pair.pubKeyPrefix ?? new Uint8Array());

function isPresent(bytes: Uint8Array | null | undefined): bytes is Uint8Array {
  return bytes != null && bytes.length > 0;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.length <= bytes.length && prefix.every((byte, i) => byte === bytes[i]);
}
