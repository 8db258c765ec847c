/** Certificates and CRLs as operators hand them over: DER bytes, or PEM text with one or more blocks (RFC 7468). */
import type { VerificationCache } from './cache.ts';
import { DerFault } from './der.ts';

const BLOCK = /-----BEGIN (CERTIFICATE|X509 CRL)-----([A-Za-z0-9+/=\s]+)-----END \1-----/g;

/** The DER of each block in order. Throws DerFault on text without one. */
export function readPem(source: string | Uint8Array, cache: VerificationCache): readonly Uint8Array[] {
  if (typeof source !== 'string') return [source];
  return cache.pem.getOrMake(source, () => {
    const blocks = [...source.matchAll(BLOCK)].map((match) => decodeBase64((match[2] ?? '').replace(/\s+/g, '')));
    if (blocks.length === 0) throw new DerFault('MALFORMED', 'text without a PEM certificate or CRL');
    return blocks;
  });
}

function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw new DerFault('MALFORMED', 'PEM block that is not base64');
  }
}

/** PEM of one DER block. */
export function writePem(label: 'CERTIFICATE' | 'X509 CRL', der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
