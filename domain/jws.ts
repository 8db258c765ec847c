import { toBase64Url, utf8 } from './bytes.ts';
import { canonicalBytes } from './canonical-json.ts';
import { keyReference } from './seal.ts';

/**
 * The signing input of a compact JWS over canonical JSON (RFC 7515 §5.1): `base64url(header).base64url(payload)`.
 * Append `.` and the base64url signature to get the JWS.
 */
export function jwsSigningInput(
  typ: string,
  alg: 'ES256' | 'EdDSA',
  kid: string,
  version: number,
  payload: Uint8Array,
): string {
  const header = canonicalBytes({ alg, kid: keyReference(kid, version), typ });
  return `${toBase64Url(header)}.${toBase64Url(payload)}`;
}

export function formatJws(signingInput: string, signature: Uint8Array): string {
  return `${signingInput}.${toBase64Url(signature)}`;
}

/** The bytes to sign of a signing input. */
export function jwsBytes(signingInput: string): Uint8Array {
  return utf8.encode(signingInput);
}
