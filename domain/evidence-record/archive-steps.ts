/**
 * What each token of a renewed timestamp is over (RFC 4998 §5.2): the first over the data; each further one over the token
 * before it (timestamp renewal), or, under another hash function, over the data and all that is there (hash-tree renewal);
 * alone, or with others in a tree.
 */
import { concatBytes } from '../bytes.ts';
import { HASHES, type HashName } from '../timestamp/hashes.ts';
import { rootOfPath } from './hash-tree.ts';
import { type ArchiveTimeStamp, type EvidenceRecord, reduceHashtree, writeSequence } from './record.ts';

export interface ArchivedToken {
  /** DER. */
  readonly token: Uint8Array;
  /** From the leaf to the root of the tree that the token is over; empty where it is over the leaf alone. */
  readonly path: readonly Uint8Array[];
  /** Of tree and imprint. */
  readonly hash: HashName;
}

export interface ArchiveStep extends ArchivedToken {
  /** What the tree holds of this data. */
  readonly leaf: Uint8Array;
  /** What the token must be over. */
  readonly imprint: Uint8Array;
}

/**
 * The steps with their imprints. Throws RangeError without tokens, on a hash of a length that is not its function's, and
 * on a function that comes back after another.
 */
export function archiveSteps(data: Uint8Array, tokens: readonly ArchivedToken[]): readonly ArchiveStep[] {
  if (tokens.length === 0) throw new RangeError('a token is expected');
  const steps: ArchiveStep[] = [];
  for (const archived of tokens) {
    const { path, hash } = archived;
    if (path.some((one) => one.length !== HASHES[hash].bytes))
      throw new RangeError(`hashes of ${HASHES[hash].bytes} bytes are expected in a path`);
    const last = steps[steps.length - 1];
    if (last !== undefined && last.hash !== hash && steps.some((step) => step.hash === hash))
      throw new RangeError(`${hash} comes back after another`);
    const leaf =
      last === undefined
        ? HASHES[hash].hash(data)
        : last.hash === hash
          ? HASHES[hash].hash(last.token)
          : rehashedLeaf(data, steps, hash);
    steps.push({ ...archived, leaf, imprint: rootOfPath(leaf, path, hash) });
  }
  return steps;
}

/** The leaf of a hash-tree renewal: H(H(data) ‖ H(DER of the sequence so far)). */
export function rehashedLeaf(data: Uint8Array, steps: readonly ArchiveStep[], hash: HashName): Uint8Array {
  const digest = HASHES[hash].hash;
  return digest(concatBytes(digest(data), digest(writeSequence(chainsOf(steps)))));
}

/** The evidence record of the steps: a chain for each hash function. */
export const recordOf = (steps: readonly ArchiveStep[]): EvidenceRecord => ({ chains: chainsOf(steps) });

function chainsOf(steps: readonly ArchiveStep[]): ArchiveTimeStamp[][] {
  const chains: ArchiveTimeStamp[][] = [];
  for (const { hash, leaf, path, token } of steps) {
    const archived = { hash, reducedHashtree: reduceHashtree(leaf, path), token };
    const last = chains[chains.length - 1];
    if (last?.[0]?.hash === hash) last.push(archived);
    else chains.push([archived]);
  }
  return chains;
}
