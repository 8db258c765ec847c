import { createHash } from 'node:crypto';

/** A strong ETag: the SHA-256 of the body, shortened to 128 bits. */
export function etagOf(body: string | Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}
