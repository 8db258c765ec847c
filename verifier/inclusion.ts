import type { Bundle, Inclusion } from '../domain/bundle.ts';
import { fromBase64Url } from '../domain/bytes.ts';
import { hashLeaf, verifyInclusion } from '../log/tree.ts';
import type { OpenCheckpoint } from './checkpoint.ts';
import { type ClaimResult, missing, result } from './verdict.ts';

/** Claim `inclusion`: the leaf of statement and seal is in the tree of the bundle's checkpoint (RFC 6962 §2.1.1). */
export function checkInclusion(bundle: Bundle, leaf: Uint8Array, checkpoint: OpenCheckpoint | undefined): ClaimResult {
  const { inclusion } = bundle;
  if (inclusion === undefined) return missing(bundle.pending.includes('inclusion'));
  if (checkpoint === undefined) return result('invalid', 'checkpoint-bad');
  const fault = findInclusionFault(inclusion, leaf, checkpoint);
  return fault === undefined
    ? result('valid', 'included', { detail: `leaf ${inclusion.index} of ${inclusion.size} in ${inclusion.origin}` })
    : result('invalid', fault);
}

/** Why the leaf is not where the proof says, or undefined if it is. */
export function findInclusionFault(
  inclusion: Inclusion,
  leaf: Uint8Array,
  { checkpoint }: OpenCheckpoint,
): 'other-tree' | 'not-included' | undefined {
  const size = BigInt(inclusion.size);
  if (inclusion.origin !== checkpoint.origin || size !== checkpoint.size) return 'other-tree';
  const path = inclusion.path.map((hash) => fromBase64Url(hash) ?? new Uint8Array(0));
  const isIncluded = verifyInclusion({
    leafHash: hashLeaf(leaf),
    index: BigInt(inclusion.index),
    size,
    path,
    root: checkpoint.root,
  });
  return isIncluded ? undefined : 'not-included';
}
