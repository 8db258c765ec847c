import { openWhole, readWhole, TAG } from '../../../domain/timestamp/der.ts';
import type { PublicJwk } from '../key-version.ts';

/** What a token signs here. */
export const TOKEN_ALGS = ['ES256', 'EdDSA', 'RS256', 'PS256'] as const;
export type TokenAlg = (typeof TOKEN_ALGS)[number];

/** Public JWK of attributes of an object: the EC point in an OCTET STRING, or modulus and exponent. Throws on any other. */
export function publicJwkOf(alg: TokenAlg, parts: readonly Uint8Array[]): PublicJwk {
  const [first = new Uint8Array(0), second = new Uint8Array(0)] = parts;
  if (alg === 'RS256' || alg === 'PS256') return { kty: 'RSA', n: b64(unsigned(first)), e: b64(unsigned(second)) };
  const point = readWhole(first, TAG.octetString, 'EC point').content;
  if (alg === 'EdDSA') {
    // Some tokens wrap the point once more, as a BIT STRING.
    const raw =
      point.length === 32
        ? point
        : openWhole(first, TAG.octetString, 'EC point').next(TAG.bitString).content.subarray(1);
    if (raw.length !== 32) throw new Error('the point is not one of Ed25519');
    return { kty: 'OKP', crv: 'Ed25519', x: b64(raw) };
  }
  if (point.length !== 65 || point[0] !== 4) throw new Error('the point is not an uncompressed one of P-256');
  return { kty: 'EC', crv: 'P-256', x: b64(point.subarray(1, 33)), y: b64(point.subarray(33)) };
}

function unsigned(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(Math.max(0, start));
}

const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
