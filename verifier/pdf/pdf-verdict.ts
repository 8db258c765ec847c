/** What the verification of a certificate PDF says, in the words that bundles are judged in. */
import type { Digest } from '../../domain/digest.ts';
import type { ProofId } from '../../domain/ids.ts';
import type { ClaimResult, Verdict, VerificationResult } from '../verdict.ts';

export const PDF_CLAIMS = [
  /** Structure and history: every byte accounted for, nothing changed after the signature. */
  'document',
  /** The canonical JSON of the certificate. */
  'attachment',
  /** The file that the reader has, against the digest that the certificate names. */
  'digest',
  'signature',
  /** The signer's certificate. */
  'key',
  /** When it was signed. */
  'timestamp',
  /** What later readers need: certificates and revocation lists of both chains (PAdES B-LT). */
  'validation',
  /** Document timestamps (PAdES B-LTA). */
  'archive',
  'bundle',
] as const;
export type PdfClaim = (typeof PDF_CLAIMS)[number];

/** ETSI EN 319 142-1 §6. */
export type PdfLevel = 'B-B' | 'B-T' | 'B-LT' | 'B-LTA';

export interface PdfRevision {
  readonly holds: 'content' | 'signature' | 'validation-data' | 'timestamp';
  /** Length of the file at its end. */
  readonly end: number;
}

export interface PdfVerificationResult {
  readonly overall: Verdict;
  readonly claims: Readonly<Record<PdfClaim, ClaimResult>>;
  /** Undefined unless the signature is good. */
  readonly level?: PdfLevel;
  /** Oldest first; undefined when the file cannot be read. */
  readonly revisions?: readonly PdfRevision[];
  /** What the certificate says; undefined when it cannot be read. The time only where it is verified. */
  readonly subject?: {
    readonly proof: ProofId;
    readonly digest: Digest;
    readonly certificateNumber: string;
    readonly time?: string;
  };
  readonly trust: 'pinned' | 'own-keys';
  readonly consulted: { readonly ledger: boolean };
  /** The bundle given beside the PDF, judged as ever. */
  readonly bundle?: VerificationResult;
}

/** What must be good; the others count where they are there. */
const CORE: readonly PdfClaim[] = ['document', 'attachment', 'signature', 'key', 'timestamp'];
const WEAKEST: readonly Verdict[] = ['absent', 'pending', 'unverified'];

/** `invalid` if any claim or the bundle is; else the weakest of what counts; at most `unverified` without a trust file. */
export function judgePdfOverall(
  claims: Readonly<Record<PdfClaim, ClaimResult>>,
  source: 'pinned' | 'own-keys',
  bundle: Verdict | undefined,
): Verdict {
  const counted: Verdict[] = PDF_CLAIMS.filter((name) => CORE.includes(name) || claims[name].verdict !== 'absent').map(
    (name) => claims[name].verdict,
  );
  if (bundle !== undefined) counted.push(bundle);
  if (source === 'own-keys') counted.push('unverified');
  if (counted.includes('invalid')) return 'invalid';
  return WEAKEST.find((verdict) => counted.includes(verdict)) ?? 'valid';
}
