/** Signatures of the signer under public keys, whatever their algorithm. */
import {
  constants,
  createPublicKey,
  type KeyObject,
  publicDecrypt,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { ecdsaRawToDer } from '../../domain/ecdsa-signature.ts';
import { badAnswer, type KeyAlg, type SignerAlg, type SignerJwk } from './signer-protocol.ts';

/** The curve of each algorithm; RSA where there is none. */
const CURVES: Partial<Record<KeyAlg, string>> = { ES256: 'P-256', EdDSA: 'Ed25519', 'ES256K-KECCAK': 'secp256k1' };
const MIN_BITS = 2_048;
const MAX_BITS = 4_096;
/** DER of DigestInfo up to the digest: SHA-256 with NULL parameters (RFC 8017 §9.2). */
const DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** Throws SIGNER_BAD_ANSWER on a key of another kind than its algorithm, or of a size that nobody should trust. */
export function importPublicKey(jwk: SignerJwk, alg: KeyAlg): KeyObject {
  const curve = CURVES[alg];
  if (jwk.crv !== curve || (curve === undefined && jwk.kty !== 'RSA'))
    throw badAnswer(`a key for ${alg} of type ${jwk.kty} ${jwk.crv ?? ''}`);
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength ?? MIN_BITS;
    if (bits < MIN_BITS || bits > MAX_BITS) throw new Error(`${bits} bits`);
    return key;
  } catch (cause) {
    throw badAnswer('a public key does not parse', cause);
  }
}

const PADDED: Partial<Record<SignerAlg, (key: KeyObject) => VerifyKeyObjectInput>> = {
  RS256: (key) => ({ key, padding: constants.RSA_PKCS1_PADDING }),
  PS256: (key) => ({ key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
};

/** Whether `signature` (ECDSA as r‖s) is over `value`; on the thread pool where Node can. */
export function isSigned(alg: SignerAlg, key: KeyObject, value: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (alg === 'ES256K-KECCAK') return Promise.resolve(isKeccakSigned(key, value, signature));
  return new Promise((resolve, reject) => {
    const form = alg === 'ES256' ? ecdsaRawToDer(signature) : signature;
    verify(alg === 'EdDSA' ? null : 'sha256', value, PADDED[alg]?.(key) ?? key, form, (error, verdict) =>
      error === null ? resolve(verdict) : reject(error),
    );
  });
}

/** The same over a SHA-256 digest, of ES256 and RS256 alone. */
export async function isDigestSigned(
  alg: SignerAlg,
  key: KeyObject,
  digest: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  // Node's own API hashes whatever it is given.
  if (alg === 'ES256') return p256.verify(signature, digest, pointOf(key), { prehash: false, lowS: false });
  if (alg !== 'RS256') return false;
  try {
    return publicDecrypt(key, signature).equals(Buffer.concat([DIGEST_INFO, digest]));
  } catch {
    return false;
  }
}

/** With the lower s alone, which ledgers ask for; a parity at its end is judged by who recovers the key. */
function isKeccakSigned(key: KeyObject, value: Uint8Array, signature: Uint8Array): boolean {
  const rs = signature.subarray(0, 64);
  if (!secp256k1.verify(rs, keccak_256(value), pointOf(key), { prehash: false, lowS: true })) return false;
  if (signature.length === 64) return true;
  const recovered = Uint8Array.of(signature[64] as number, ...rs);
  const point = secp256k1.recoverPublicKey(recovered, keccak_256(value), { prehash: false });
  return Buffer.from(secp256k1.Point.fromBytes(point).toBytes(false)).equals(pointOf(key));
}

/** Uncompressed point of an EC key. */
function pointOf(key: KeyObject): Buffer {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  return Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
}
