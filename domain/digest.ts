import { fromHex } from './bytes.ts';
import { ProoflineError } from './errors.ts';

/** Digest algorithms that may be submitted, with the length of their value in hex digits. */
export const DIGEST_HEX_LENGTH = { 'sha-256': 64, 'sha-384': 96, 'sha-512': 128 } as const satisfies Record<
  string,
  number
>;
export type DigestAlgorithm = keyof typeof DIGEST_HEX_LENGTH;

/** A digest as clients write it: the value in lower-case hex. */
export interface Digest {
  readonly alg: DigestAlgorithm;
  readonly value: string;
}

export function isDigestAlgorithm(value: unknown): value is DigestAlgorithm {
  return typeof value === 'string' && Object.hasOwn(DIGEST_HEX_LENGTH, value);
}

/** Checks a digest from outside. Throws DIGEST_ALGORITHM_UNKNOWN or DIGEST_MALFORMED. */
export function parseDigest(value: { readonly alg: unknown; readonly value: unknown }): Digest {
  if (!isDigestAlgorithm(value.alg))
    throw new ProoflineError('DIGEST_ALGORITHM_UNKNOWN', `got ${JSON.stringify(value.alg)?.slice(0, 40)}`);
  const length = DIGEST_HEX_LENGTH[value.alg];
  if (typeof value.value !== 'string' || value.value.length !== length || fromHex(value.value) === undefined) {
    throw new ProoflineError('DIGEST_MALFORMED', `${value.alg} takes ${length} lower-case hex digits`);
  }
  return { alg: value.alg, value: value.value };
}
