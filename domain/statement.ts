/**
 * The statement: the canonical JSON (JCS, RFC 8785) that says what was submitted, by whom and when. Reference and
 * metadata are not in it; salted digests of them are, so that the owner can show them and erase them.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, toHex } from './bytes.ts';
import { canonicalBytes } from './canonical-json.ts';
import type { Digest } from './digest.ts';
import type { ProofId, TenantId } from './ids.ts';

export const STATEMENT_TYPE = 'proofline/statement/v1';

/** Bytes of every salt. */
export const SALT_LENGTH = 16;

export interface Statement {
  readonly type: typeof STATEMENT_TYPE;
  readonly proof: ProofId;
  readonly tenant: TenantId;
  readonly digest: Digest;
  /** Hex SHA-256(salt ‖ JCS(reference)). */
  readonly referenceDigest?: string;
  /** Hex SHA-256(salt ‖ JCS(metadata)). */
  readonly metadataDigest?: string;
  /** RFC 3339 UTC, six fraction digits. Our clock: never evidence of time. */
  readonly receivedAt: string;
  /** 16 random bytes, base64url: the leaf in the public log tells nothing to who knows the digest. */
  readonly salt: string;
  /** The seal key and its version, pinned. */
  readonly key: { readonly kid: string; readonly version: number };
}

/** Hex SHA-256(salt ‖ JCS(value)): commits to a reference or metadata without revealing it. */
export function saltedDigest(salt: Uint8Array, value: unknown): string {
  return toHex(sha256(concatBytes(salt, canonicalBytes(value))));
}
