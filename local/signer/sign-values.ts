import { type KeyObject, sign } from 'node:crypto';
import { ecdsaDerToRaw } from '../../domain/ecdsa-signature.ts';
import type { KeyAlg } from './key-version.ts';

/** Signatures in flight at once: enough to keep the thread pool busy, few enough that file writes get their turn. */
const IN_FLIGHT = 64;

/** One signature per value, in order: ES256 as 64 bytes r‖s (RFC 7518 §3.4), EdDSA as 64 bytes (RFC 8032). */
export async function signValues(
  alg: KeyAlg,
  privateKey: KeyObject,
  values: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const out: Uint8Array[] = [];
  for (let at = 0; at < values.length; at += IN_FLIGHT) {
    out.push(...(await Promise.all(values.slice(at, at + IN_FLIGHT).map((value) => signOne(alg, privateKey, value)))));
  }
  return out;
}

function signOne(alg: KeyAlg, key: KeyObject, value: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    sign(alg === 'ES256' ? 'sha256' : null, value, key, (error, signature) => {
      if (error !== null) reject(error);
      else resolve(alg === 'ES256' ? ecdsaDerToRaw(signature) : signature);
    });
  });
}
