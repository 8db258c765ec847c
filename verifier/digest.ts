import type { Digest } from '../domain/digest.ts';
import { type ClaimResult, result } from './verdict.ts';

/** Claim `digest`: the file is the one of the statement. */
export function checkDigest(stated: Digest, given: Digest | undefined): ClaimResult {
  if (given === undefined) return result('absent', 'no-file');
  if (given.alg !== stated.alg)
    return result('unverified', 'digest-of-other-algorithm', { detail: `${given.alg} given, ${stated.alg} stated` });
  return given.value === stated.value
    ? result('valid', 'digest-equal', { detail: `${stated.alg} ${stated.value}` })
    : result('invalid', 'digest-differs', { detail: `${given.value}, stated ${stated.value}` });
}
