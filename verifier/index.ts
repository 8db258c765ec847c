/** What the verifier publishes. */
export type { Bundle, PublishedKey } from '../domain/bundle.ts';
export type { Digest } from '../domain/digest.ts';
export { type Disclosure, parseDisclosure } from '../domain/disclosure.ts';
export type { TrustDocument } from '../domain/trust.ts';
export { parseTrustDocument } from '../domain/trust-parse.ts';
export { createVerifierCache, type VerifierCache } from './cache.ts';
export type { DisclosureResult } from './disclosure.ts';
export { type EvidenceRecordResult, verifyRecord } from './evidence-record.ts';
export { openMirror } from './http-mirror.ts';
export type { MirrorReader } from './mirror.ts';
export {
  PDF_CLAIMS,
  type PdfClaim,
  type PdfLevel,
  type PdfRevision,
  type PdfVerificationResult,
} from './pdf/pdf-verdict.ts';
export { PDF_MAX_LENGTH } from './pdf/revisions.ts';
export { type VerifyPdfOptions, verifyPdf } from './pdf/verify-pdf.ts';
export { type ReceiptResult, verifyReceipt } from './receipt.ts';
export {
  CLAIMS,
  type Claim,
  type ClaimResult,
  REASONS,
  type Reason,
  type Verdict,
  type VerificationResult,
} from './verdict.ts';
export { type VerifyOptions, verifyBundle } from './verify.ts';
