/** Keys in this process's memory: made, described, used. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPair,
  type KeyObject,
  privateDecrypt,
  privateEncrypt,
  randomBytes,
  type SignKeyObjectInput,
  sign,
} from 'node:crypto';
import { promisify } from 'node:util';
import { p256 } from '@noble/curves/nist.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { ecdsaDerToRaw } from '../../domain/ecdsa-signature.ts';
import { type KeyHandle, makeHandle } from './key-handle.ts';
import type { KeyAlg, PublicJwk } from './key-version.ts';
import { SignerProblem } from './problem.ts';

const generate = promisify(generateKeyPair);
const RSA_BITS = 2_048;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Signatures in flight at once: enough to keep the thread pool busy, few enough that file writes get their turn. */
const IN_FLIGHT = 64;
/** DER of DigestInfo up to the digest: SHA-256 with NULL parameters (RFC 8017 §9.2). */
const DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** A fresh private key, or secret, of an algorithm. */
export async function generateKey(alg: KeyAlg): Promise<KeyObject> {
  switch (alg) {
    case 'ES256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'ES256K-KECCAK':
      return (await generate('ec', { namedCurve: 'secp256k1' })).privateKey;
    case 'EdDSA':
      return (await generate('ed25519')).privateKey;
    case 'RS256':
    case 'PS256':
    case 'RSA-OAEP-256':
      return (await generate('rsa', { modulusLength: RSA_BITS, publicExponent: 65_537 })).privateKey;
    case 'HS256':
    case 'A256GCM':
      return createSecretKey(randomBytes(32));
  }
}

/** DER SubjectPublicKeyInfo and JWK of a private key; undefined of a secret. */
export function publicPartOf(key: KeyObject): { readonly spki: Uint8Array; readonly jwk: PublicJwk } | undefined {
  return key.type === 'secret' ? undefined : describePublicKey(createPublicKey(key));
}

/** The same of a public JWK. */
export function publicPartOfJwk(jwk: PublicJwk): { readonly spki: Uint8Array; readonly jwk: PublicJwk } {
  return describePublicKey(createPublicKey({ key: { ...jwk }, format: 'jwk' }));
}

function describePublicKey(publicKey: KeyObject): { readonly spki: Uint8Array; readonly jwk: PublicJwk } {
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' });
  if (kty === undefined) throw new Error('the key has no JWK form');
  const members = Object.entries({ crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  return {
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    jwk: { kty, ...Object.fromEntries(members) },
  };
}

/** The key as something that signs. */
export function softwareHandle(alg: KeyAlg, key: KeyObject): KeyHandle {
  switch (alg) {
    case 'ES256':
      return makeHandle(alg, {
        sign: (values) => signAll(values, 'sha256', key, ecdsaDerToRaw),
        // Node's own API hashes whatever it is given; a digest needs the bare operation.
        signDigests: async (digests) => {
          const scalar = scalarOf(key);
          return digests.map((digest) => p256.sign(digest, scalar, { prehash: false, lowS: false }));
        },
      });
    case 'EdDSA':
      return makeHandle(alg, { sign: (values) => signAll(values, null, key) });
    case 'RS256':
      return makeHandle(alg, {
        sign: (values) => signAll(values, 'sha256', { key, padding: constants.RSA_PKCS1_PADDING }),
        signDigests: async (digests) =>
          digests.map((digest) =>
            privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, Buffer.concat([DIGEST_INFO, digest])),
          ),
      });
    case 'PS256':
      return makeHandle(alg, {
        sign: (values) => signAll(values, 'sha256', { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
      });
    case 'ES256K-KECCAK':
      return makeHandle(alg, {
        sign: async (values) => {
          const scalar = scalarOf(key);
          return values.map((value) => signKeccak(value, scalar));
        },
      });
    case 'HS256':
      return makeHandle(alg, {
        mac: async (values) => values.map((value) => createHmac('sha256', key).update(value).digest()),
      });
    case 'RSA-OAEP-256':
      return makeHandle(alg, {
        decrypt: async (values, aad) =>
          values.map((value, index) =>
            opened(index, () =>
              privateDecrypt(
                { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(aad) },
                value,
              ),
            ),
          ),
      });
    case 'A256GCM':
      return makeHandle(alg, {
        encrypt: async (values, aad) => values.map((value) => sealGcm(key, value, aad)),
        decrypt: async (values, aad) => values.map((value, index) => opened(index, () => openGcm(key, value, aad))),
      });
  }
}

async function signAll(
  values: readonly Uint8Array[],
  hash: 'sha256' | null,
  key: KeyObject | SignKeyObjectInput,
  form: (signature: Uint8Array) => Uint8Array = (signature) => signature,
): Promise<Uint8Array[]> {
  const signOne = (value: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      sign(hash, value, key, (error, signature) => (error === null ? resolve(form(signature)) : reject(error)));
    });
  const out: Uint8Array[] = [];
  for (let at = 0; at < values.length; at += IN_FLIGHT) {
    out.push(...(await Promise.all(values.slice(at, at + IN_FLIGHT).map(signOne))));
  }
  return out;
}

function signKeccak(value: Uint8Array, scalar: Uint8Array): Uint8Array {
  const [parity, ...rs] = secp256k1.sign(keccak_256(value), scalar, {
    prehash: false,
    lowS: true,
    format: 'recovered',
  });
  return Uint8Array.from([...rs, parity ?? 0]);
}

/** The private scalar of an EC key, 32 bytes. */
function scalarOf(key: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url'));
}

function sealGcm(key: KeyObject, value: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

function openGcm(key: KeyObject, value: Uint8Array, aad: Uint8Array): Uint8Array {
  if (value.length < NONCE_BYTES + TAG_BYTES) throw new Error('too short');
  const decipher = createDecipheriv('aes-256-gcm', key, value.subarray(0, NONCE_BYTES));
  decipher.setAAD(aad);
  decipher.setAuthTag(value.subarray(value.length - TAG_BYTES));
  return Buffer.concat([decipher.update(value.subarray(NONCE_BYTES, value.length - TAG_BYTES)), decipher.final()]);
}

/** One refusal whatever is wrong, so that nobody learns from the difference. */
function opened(index: number, open: () => Uint8Array): Uint8Array {
  try {
    return open();
  } catch {
    throw new SignerProblem('value_refused', `value ${index} does not open under this key and these aad`, { index });
  }
}
