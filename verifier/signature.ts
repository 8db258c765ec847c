/** ES256 (RFC 7518 §3.4) by WebCrypto. */
import type { PublishedKey } from '../domain/bundle.ts';
import type { VerifierCache } from './cache.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const ES256 = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** Whether `signature` (r‖s, 64 bytes) over `message` is by the key. False on anything malformed. */
export async function verifyEs256(
  key: PublishedKey,
  signature: Uint8Array,
  message: Uint8Array,
  cache: VerifierCache,
): Promise<boolean> {
  const { x = '', y = '' } = key.jwk;
  if (key.alg !== 'ES256' || signature.length !== 64) return false;
  const imported = await cache.keys.getOrMake(`${x}.${y}`, () => importKey(x, y));
  if (imported === undefined) return false;
  return globalThis.crypto.subtle.verify(ES256, imported, new Uint8Array(signature), new Uint8Array(message));
}

/** Undefined when the point is not on the curve. */
async function importKey(x: string, y: string): Promise<CryptoKey | undefined> {
  try {
    return await globalThis.crypto.subtle.importKey('jwk', { kty: 'EC', crv: 'P-256', x, y }, P256, false, ['verify']);
  } catch {
    return undefined;
  }
}
