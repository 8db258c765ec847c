import type { KeyAlg } from './key-version.ts';
import { SignerProblem } from './problem.ts';

/** The private half of a key version, wherever it lies. What the key cannot do throws `alg_not_allowed`. */
export interface KeyHandle {
  /**
   * One signature per value, in order, over the value itself: ES256 as 64 bytes r‖s (RFC 7518 §3.4), EdDSA as 64 bytes
   * (RFC 8032), RS256 and PS256 (salt of 32 bytes) as long as the modulus, ES256K-KECCAK as 65 bytes r‖s‖parity.
   */
  sign(values: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /** The same over SHA-256 digests that somebody else computed. */
  signDigests(digests: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /** HMAC-SHA-256, 32 bytes each. */
  mac(values: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /** AES-256-GCM: 12 bytes of nonce, ciphertext, 16 bytes of tag. */
  encrypt(values: readonly Uint8Array[], aad: Uint8Array): Promise<Uint8Array[]>;
  /** Of the above, or RSA-OAEP with SHA-256 and `aad` as its label. Throws `value_refused` with the index. */
  decrypt(values: readonly Uint8Array[], aad: Uint8Array): Promise<Uint8Array[]>;
}

/** A handle that does what is given and refuses the rest. */
export function makeHandle(alg: KeyAlg, can: Partial<KeyHandle>): KeyHandle {
  const refuse = (verb: string) => async (): Promise<never> => {
    throw new SignerProblem('alg_not_allowed', `a key for ${alg} does not ${verb}`);
  };
  return {
    sign: can.sign ?? refuse('sign'),
    signDigests: can.signDigests ?? refuse('sign digests'),
    mac: can.mac ?? refuse('make MACs'),
    encrypt: can.encrypt ?? refuse('encrypt'),
    decrypt: can.decrypt ?? refuse('decrypt'),
  };
}
