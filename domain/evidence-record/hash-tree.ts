/**
 * The hash trees of RFC 4998 §4.2: a node is the hash of what lies below it, sorted as bytes and put together, so that a
 * path needs no directions. Ours are binary; a node without a neighbour goes up as it is.
 */
import { compareDer } from '../timestamp/der.ts';
import { HASHES, type HashName } from '../timestamp/hashes.ts';

export interface HashTree {
  readonly root: Uint8Array;
  /** What a leaf is put together with on its way up; empty for a leaf that is the root. Undefined for what is no leaf. */
  readonly pathOf: (leaf: Uint8Array) => readonly Uint8Array[] | undefined;
}

/** A tree over hashes of `hash`; equal ones count once, their order means nothing. Throws RangeError without leaves. */
export function buildHashTree(leaves: readonly Uint8Array[], hash: HashName): HashTree {
  const { bytes } = HASHES[hash];
  if (leaves.some((leaf) => leaf.length !== bytes)) throw new RangeError(`a leaf is ${bytes} bytes long`);
  const sorted = [...leaves]
    .sort(compareDer)
    .filter((leaf, i, all) => i === 0 || compareDer(leaf, all[i - 1] as Uint8Array) !== 0);
  const levels: Uint8Array[][] = [sorted];
  for (let level = sorted; level.length > 1; ) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) above.push(hashNode(level.slice(i, i + 2), hash));
    levels.push(above);
    level = above;
  }
  const [root] = levels[levels.length - 1] ?? [];
  if (root === undefined) throw new RangeError('a tree has leaves');
  return {
    root,
    pathOf(leaf) {
      let at = indexOf(sorted, leaf);
      if (at < 0) return undefined;
      const path: Uint8Array[] = [];
      for (const level of levels) {
        const neighbour = level[at ^ 1];
        if (neighbour !== undefined) path.push(neighbour);
        at >>= 1;
      }
      return path;
    },
  };
}

/** One value stands for itself, as every implementation has it; several are sorted, put together and hashed. */
export function hashNode(values: readonly Uint8Array[], hash: HashName): Uint8Array {
  const [only] = values;
  if (values.length === 1 && only !== undefined) return only;
  const sorted = [...values].sort(compareDer);
  const all = new Uint8Array(sorted.reduce((sum, value) => sum + value.length, 0));
  let at = 0;
  for (const value of sorted) {
    all.set(value, at);
    at += value.length;
  }
  return HASHES[hash].hash(all);
}

/** The root that a leaf and its path give. */
export function rootOfPath(leaf: Uint8Array, path: readonly Uint8Array[], hash: HashName): Uint8Array {
  return path.reduce((node, neighbour) => hashNode([node, neighbour], hash), leaf);
}

function indexOf(sorted: readonly Uint8Array[], leaf: Uint8Array): number {
  let [low, high] = [0, sorted.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const order = compareDer(sorted[middle] as Uint8Array, leaf);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
