/**
 * The Merkle tree of RFC 6962 §2.1 over SHA-256: hashes, roots, and how inclusion and consistency proofs are made
 * and verified. Sizes and indices are `bigint` below 2^63, hashes are 32 bytes. Makers throw LogFormatError RANGE on
 * impossible numbers; verifiers never throw.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { areEqual } from './bytes.ts';
import { LogFormatError } from './errors.ts';

export const HASH_BYTES = 32;
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;
/** A tree below 2^63 leaves has no longer path. */
const MAX_PATH = 63;

/** The perfect subtree over leaves [index·2^level, (index+1)·2^level). Level 0 is a leaf hash. */
export interface NodeId {
  readonly level: number;
  readonly index: bigint;
}

/** Gives the hash of a perfect subtree that lies wholly inside the tree; throws if it has none. */
export type ReadNode = (node: NodeId) => Uint8Array;

/** Leaves [start, end), as one hash of a proof covers them. */
export interface LeafRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** RFC 6962 §2.1: SHA-256(0x00 ‖ data). */
export function hashLeaf(data: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + data.length);
  input[0] = LEAF_PREFIX;
  input.set(data, 1);
  return sha256(input);
}

/** RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right), both of 32 bytes. */
export function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES)
    throw new LogFormatError('HASH', `nodes of ${left.length} and ${right.length} bytes, expected 32`);
  const input = new Uint8Array(1 + 2 * HASH_BYTES);
  input[0] = NODE_PREFIX;
  input.set(left, 1);
  input.set(right, 1 + HASH_BYTES);
  return sha256(input);
}

/** The root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  return sha256(new Uint8Array(0));
}

/** RFC 6962 §2.1: MTH over leaf hashes in order. For trees at hand; a log keeps tiles. */
export function rootOfLeaves(leafHashes: readonly Uint8Array[]): Uint8Array {
  if (leafHashes.length === 0) return emptyRoot();
  return hashRange({ start: 0n, end: BigInt(leafHashes.length) }, createNodeReader(leafHashes));
}

/** Reads the perfect subtrees over leaf hashes at hand. Each is hashed once and kept. */
export function createNodeReader(leafHashes: readonly Uint8Array[]): ReadNode {
  const known = new Map<string, Uint8Array>();
  const read = ({ level, index }: NodeId): Uint8Array => {
    if (level === 0) {
      const leaf = leafHashes[Number(index)];
      if (leaf === undefined) throw new LogFormatError('RANGE', `no leaf ${index} of ${leafHashes.length}`);
      return leaf;
    }
    const key = `${level}/${index}`;
    const kept = known.get(key);
    if (kept !== undefined) return kept;
    const hash = hashNode(
      read({ level: level - 1, index: 2n * index }),
      read({ level: level - 1, index: 2n * index + 1n }),
    );
    known.set(key, hash);
    return hash;
  };
  return read;
}

/**
 * The perfect subtrees that make up a range whose start is a multiple of the largest power of two within it (every
 * range of a proof is such), from left to right.
 */
export function subtreesOf({ start, end }: LeafRange): NodeId[] {
  const out: NodeId[] = [];
  let at = start;
  while (at < end) {
    const level = bitLength(end - at) - 1;
    out.push({ level, index: at >> BigInt(level) });
    at += 1n << BigInt(level);
  }
  return out;
}

/** MTH(D[start:end]), folded from the right as RFC 6962 §2.1 splits it. */
export function hashRange(range: LeafRange, read: ReadNode): Uint8Array {
  let hash: Uint8Array | undefined;
  for (const node of subtreesOf(range).reverse()) hash = hash === undefined ? read(node) : hashNode(read(node), hash);
  if (hash === undefined) throw new LogFormatError('RANGE', `empty range at ${range.start}`);
  return hash;
}

/** RFC 6962 §2.1.1: the ranges of PATH(index, D[size]), from the leaf's sibling up to the root's child. */
export function inclusionRanges(index: bigint, size: bigint): LeafRange[] {
  if (index < 0n || index >= size || size >= 1n << 63n)
    throw new LogFormatError('RANGE', `leaf ${index} of a tree of ${size}`);
  const out: LeafRange[] = [];
  let start = 0n;
  let end = size;
  while (end - start > 1n) {
    const split = start + largestPowerBelow(end - start);
    if (index < split) {
      out.push({ start: split, end });
      end = split;
    } else {
      out.push({ start, end: split });
      start = split;
    }
  }
  return out.reverse();
}

/** RFC 6962 §2.1.2: the ranges of PROOF(first, D[second]). Empty if first is 0 or equals second. */
export function consistencyRanges(first: bigint, second: bigint): LeafRange[] {
  if (first < 0n || first > second || second >= 1n << 63n)
    throw new LogFormatError('RANGE', `from a tree of ${first} to one of ${second}`);
  if (first === 0n || first === second) return [];
  const out: LeafRange[] = [];
  let start = 0n;
  let end = second;
  while (end !== first) {
    const split = start + largestPowerBelow(end - start);
    if (first <= split) {
      out.push({ start: split, end });
      end = split;
    } else {
      out.push({ start, end: split });
      start = split;
    }
  }
  // The subtree that ends the old tree is known to its holder only if it is the old tree itself.
  if (start > 0n) out.push({ start, end });
  return out.reverse();
}

export function makeInclusionPath(index: bigint, size: bigint, read: ReadNode): Uint8Array[] {
  return inclusionRanges(index, size).map((range) => hashRange(range, read));
}

export function makeConsistencyProof(first: bigint, second: bigint, read: ReadNode): Uint8Array[] {
  return consistencyRanges(first, second).map((range) => hashRange(range, read));
}

/** RFC 9162 §2.1.3.2 steps 1–4: the root that a path leads to, or undefined if the path cannot belong to (index, size). */
export function rootFromInclusion(
  leafHash: Uint8Array,
  index: bigint,
  size: bigint,
  path: readonly Uint8Array[],
): Uint8Array | undefined {
  if (index < 0n || index >= size || size >= 1n << 63n || path.length > MAX_PATH || ![leafHash, ...path].every(isHash))
    return undefined;
  let fn = index;
  let sn = size - 1n;
  let hash = leafHash;
  for (const sibling of path) {
    if (sn === 0n) return undefined;
    if ((fn & 1n) === 1n || fn === sn) {
      hash = hashNode(sibling, hash);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = hashNode(hash, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? hash : undefined;
}

/** Whether the leaf is at `index` in the tree of that size and root. False on anything malformed. */
export function verifyInclusion(claim: {
  leafHash: Uint8Array;
  index: bigint;
  size: bigint;
  path: readonly Uint8Array[];
  root: Uint8Array;
}): boolean {
  const root = rootFromInclusion(claim.leafHash, claim.index, claim.size, claim.path);
  return root !== undefined && isHash(claim.root) && areEqual(root, claim.root);
}

/**
 * RFC 9162 §2.1.4.2: whether the tree (second, secondRoot) begins with the tree (first, firstRoot). The empty tree
 * begins every tree; its root must be that of no leaves. False on anything malformed.
 */
export function verifyConsistency(claim: {
  first: bigint;
  firstRoot: Uint8Array;
  second: bigint;
  secondRoot: Uint8Array;
  proof: readonly Uint8Array[];
}): boolean {
  const { first, second, firstRoot, secondRoot, proof } = claim;
  if (
    first < 0n ||
    first > second ||
    second >= 1n << 63n ||
    proof.length > MAX_PATH + 1 ||
    ![firstRoot, secondRoot, ...proof].every(isHash)
  )
    return false;
  if (first === second)
    return proof.length === 0 && areEqual(firstRoot, secondRoot) && (first > 0n || areEqual(firstRoot, emptyRoot()));
  if (first === 0n) return proof.length === 0 && areEqual(firstRoot, emptyRoot());
  const isPowerOfTwo = (first & (first - 1n)) === 0n;
  const [seed, ...rest] = isPowerOfTwo ? [firstRoot, ...proof] : proof;
  if (seed === undefined) return false;
  let fn = first - 1n;
  let sn = second - 1n;
  while ((fn & 1n) === 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let fr = seed;
  let sr = seed;
  for (const hash of rest) {
    if (sn === 0n) return false;
    if ((fn & 1n) === 1n || fn === sn) {
      fr = hashNode(hash, fr);
      sr = hashNode(hash, sr);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      sr = hashNode(sr, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && areEqual(fr, firstRoot) && areEqual(sr, secondRoot);
}

function isHash(value: unknown): boolean {
  return value instanceof Uint8Array && value.length === HASH_BYTES;
}

/** Number of binary digits of n ≥ 0. */
function bitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

/** The largest power of two below n ≥ 2 (RFC 6962 §2.1: k < n ≤ 2k). */
function largestPowerBelow(n: bigint): bigint {
  return 1n << BigInt(bitLength(n - 1n) - 1);
}
