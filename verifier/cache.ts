/**
 * What verification may remember between bundles: facts about bytes (a key imported, a note signed by a key), never
 * a verdict that depends on trust or time. Bounded; the entry used longest ago goes first.
 */
import { BoundedMap, createVerificationCache, type VerificationCache } from '../domain/timestamp/cache.ts';
import type { CheckpointVerdict } from '../log/checkpoint.ts';

export interface VerifierCache {
  /** P-256 public keys by their coordinates. */
  readonly keys: BoundedMap<Promise<CryptoKey | undefined>>;
  /** Verified notes by keys, origin and text. */
  readonly checkpoints: BoundedMap<Promise<CheckpointVerdict>>;
  readonly timestamps: VerificationCache;
}

export function createVerifierCache(max = 256): VerifierCache {
  return {
    keys: new BoundedMap(max),
    checkpoints: new BoundedMap(max),
    timestamps: createVerificationCache(2 * max),
  };
}
