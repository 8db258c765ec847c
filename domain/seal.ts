/**
 * Seal and leaf. The seal is a detached JWS (RFC 7515 appendix F) with an unencoded payload (RFC 7797), ES256 over
 * the JCS bytes of the statement; the leaf ties both together without revealing either.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, toBase64Url, utf8 } from './bytes.ts';
import { canonicalBytes, canonicalText } from './canonical-json.ts';
import type { Statement } from './statement.ts';

/** How a key version is named in JWS headers: `kid@version`. */
export function keyReference(kid: string, version: number): string {
  return `${kid}@${version}`;
}

/** The protected header of every seal made by one key version, base64url. */
export function sealHeader(kid: string, version: number): string {
  return toBase64Url(canonicalBytes({ alg: 'ES256', b64: false, crit: ['b64'], kid: keyReference(kid, version) }));
}

/** The bytes that the seal key signs: `header.` followed by the statement's JCS bytes, unencoded (RFC 7797 §3). */
export function sealSigningInput(header: string, statementBytes: Uint8Array): Uint8Array {
  return concatBytes(utf8.encode(`${header}.`), statementBytes);
}

/** The seal as it stands in the bundle: `header..signature`. */
export function formatSeal(header: string, signature: Uint8Array): string {
  return `${header}..${toBase64Url(signature)}`;
}

/** Leaf data = SHA-256(JCS({statement, seal})), 32 bytes (RFC 6962 hashes it again with its prefix). */
export function leafData(statement: Statement, seal: string): Uint8Array {
  return sha256(canonicalBytes({ statement, seal }));
}

/** The same from the statement's canonical text; spares canonicalising it twice on the sealing path. */
export function leafDataOfText(statementText: string, seal: string): Uint8Array {
  // JCS sorts members by name: "seal" before "statement". Both values are already canonical.
  return sha256(utf8.encode(`{"seal":${canonicalText(seal)},"statement":${statementText}}`));
}
