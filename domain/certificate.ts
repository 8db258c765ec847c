/**
 * The certificate: JWS (ES256) over canonical JSON that names every part of the evidence by its hash, so that parts
 * cannot be recombined with those of other proofs.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import type { AnchorEntry } from './bundle.ts';
import { toHex } from './bytes.ts';
import { canonicalBytes } from './canonical-json.ts';
import type { Digest } from './digest.ts';
import type { ProofId, TenantId } from './ids.ts';
import type { AnchorPolicy } from './states.ts';

export const CERTIFICATE_TYP = 'proofline-certificate+jwt';
export const CERTIFICATE_TYPE = 'proofline/certificate/v1';

/** What a certificate says where no ledger anchor covered the proof when it was drafted. */
export const NO_ANCHOR_WORDS =
  'No ledger anchor covered this proof when the certificate was drafted; it rests on the signed log and the RFC 3161 timestamp.';

export type CertificateAnchor = {
  /** Hex SHA-256 of the JCS form of the anchor entry, without its per-proof checkpoint and inclusion. */
  readonly entrySha256: string;
  readonly network: string;
  readonly consensusTimestamp: string;
} & (
  | { readonly ledger: 'hedera-hcs/v1'; readonly topicId: string; readonly sequenceNumber: string }
  | { readonly ledger: 'hedera-contract/v1'; readonly contractId: string; readonly transactionId: string }
);

export interface CertificatePayload {
  readonly type: typeof CERTIFICATE_TYPE;
  readonly number: string;
  readonly tenant: TenantId;
  readonly proof: ProofId;
  readonly digest: Digest;
  /** Hex RFC 6962 leaf data: SHA-256(JCS({statement, seal})). */
  readonly leaf: string;
  /** The timestamped checkpoint; index and size in decimal, root base64url. */
  readonly log: { readonly origin: string; readonly index: string; readonly size: string; readonly root: string };
  /** The authority, hex SHA-256 of the token, and the token's genTime: the time of the proof. */
  readonly timestamp: { readonly tsa: string; readonly tokenSha256: string; readonly time: string };
  readonly anchorPolicy: AnchorPolicy;
  /** The anchor it rests on, or the words that there is none. */
  readonly anchor: CertificateAnchor | { readonly none: string };
  /** The grant and, in decimal, its period whose unit was consumed; certificates issued before it was named lack the period. */
  readonly licence: { readonly grant: string; readonly period?: string };
  readonly issuedAt: string;
  readonly links: { readonly proof: string; readonly bundle: string; readonly verify: string };
}

/** How a certificate names an anchor entry. */
export function nameAnchor(entry: AnchorEntry): CertificateAnchor {
  const { network, consensusTimestamp } = entry;
  const common = { entrySha256: anchorEntryDigest(entry), network, consensusTimestamp };
  return entry.ledger === 'hedera-hcs/v1'
    ? { ...common, ledger: entry.ledger, topicId: entry.topicId, sequenceNumber: entry.sequenceNumber }
    : { ...common, ledger: entry.ledger, contractId: entry.contractId, transactionId: entry.transactionId };
}

/** Hex SHA-256 of the ledger's part of an anchor entry: the same for every proof that the anchor covers. */
export function anchorEntryDigest(entry: AnchorEntry): string {
  const { checkpoint: _checkpoint, inclusion: _inclusion, ...ledgerPart } = entry;
  return toHex(sha256(canonicalBytes(ledgerPart)));
}
