/** What a verification says: per claim a verdict, the reason as a stable code, and the time that it speaks of. */
import type { Digest } from '../domain/digest.ts';
import type { ProofId } from '../domain/ids.ts';
import type { DisclosureResult } from './disclosure.ts';

export const CLAIMS = [
  'digest',
  'seal',
  'key',
  'inclusion',
  'checkpoint',
  'timestamp',
  'anchor',
  'certificate',
  'licence',
] as const;
export type Claim = (typeof CLAIMS)[number];

/**
 * `pending`: announced and not there yet. `absent`: not there and not announced. `unverified`: there, and without
 * contradiction, but what would prove it is not at hand. `expired-but-protected`: good in its time, and renewed since.
 */
export type Verdict = 'valid' | 'invalid' | 'pending' | 'absent' | 'unverified' | 'expired-but-protected';

/** Every reason with the sentence that a reader sees. Codes are API. */
export const REASONS = {
  'digest-equal': 'The file has the digest that the statement names.',
  'digest-differs': 'The file has another digest than the statement names.',
  'digest-of-other-algorithm': 'The digest given is of another algorithm than the one in the statement.',
  'disclosed-equal': 'The statement commits to exactly this value.',
  'disclosed-differs': 'The statement commits to another value.',
  'disclosed-not-stated': 'The statement commits to no such value.',
  'no-file': 'No file was given to compare.',
  'seal-good': 'The seal is a signature of the named key over the statement.',
  'seal-malformed': 'The seal does not have the form that the statement asks for.',
  'seal-bad': 'The seal is no signature of the named key over the statement.',
  'key-missing': 'The key is neither in the trust file nor in the bundle.',
  'key-good': 'The trust file lists the key, and it was in force at the time of the timestamp.',
  'key-compromised-later': 'The key was compromised after the timestamp; the seal is older and stands.',
  'key-compromised': 'The key was compromised, and no timestamp shows that the signature is older.',
  'key-outside-window': 'The key was not in force at the time of the timestamp.',
  'key-suspended': 'The key is suspended.',
  'key-differs-from-trust-file': 'The bundle shows another key under this name than the trust file.',
  'key-not-in-trust-file': 'The trust file does not list the key; it may be newer than the file.',
  'own-keys': 'Only the keys of the bundle itself speak for this; no trust file was used.',
  'no-trusted-time': 'There is no verified timestamp to judge by.',
  included: 'The leaf is in the tree of the checkpoint.',
  'not-included': 'The path does not lead from the leaf to the root of the checkpoint.',
  'other-tree': 'The inclusion proof speaks of another log or size than the checkpoint.',
  'checkpoint-good': 'The log signed the checkpoint.',
  'checkpoint-bad': 'The checkpoint is malformed or not signed by the log.',
  'other-log': 'The checkpoint is of another log than the trusted one.',
  'log-key-not-in-trust-file': 'The checkpoint is signed by a log key that the trust file does not list.',
  'log-key-outside-window': 'The log key did not sign for trees of this size.',
  'token-good': 'An authority of the trust file stamped the checkpoint.',
  'token-good-self-operated': "The operator's own authority stamped the checkpoint.",
  'token-bad': 'The timestamp is not a good one of this checkpoint.',
  'tsa-root-not-pinned': 'Without a trust file there is no root for the authority.',
  'tsa-not-in-trust-file': 'The trust file does not list the authority.',
  'revocation-unverified': "No revocation list in force covers the authority's certificate.",
  'token-expired-renewed': "The authority's certificate has ended since; a later timestamp protects the token.",
  'token-expired': "The authority's certificate has ended since, and no later timestamp protects the token.",
  'anchor-on-ledger': 'Every mirror asked shows the anchor on the ledger.',
  'ledger-not-consulted': 'The anchor is consistent in itself; the ledger was not asked.',
  'ledger-unavailable': 'A mirror could not be asked.',
  'ledger-behind': 'A mirror does not show the message yet.',
  'ledger-differs': 'A mirror shows something else.',
  'anchor-inconsistent': 'The numbers of the anchor contradict each other.',
  'anchor-of-other-checkpoint': 'The message on the ledger names another log, size or root than the checkpoint.',
  'anchor-not-covering': "The anchor's checkpoint is malformed, not signed by the log, or does not hold the leaf.",
  'ledger-not-in-trust-file': 'The trust file does not list this network and topic or contract.',
  'none-as-certificate-states': 'The certificate states that it rests on no ledger anchor.',
  'certificate-good': 'The certificate is signed and names exactly this evidence.',
  'certificate-malformed': 'The certificate does not have its form.',
  'certificate-bad-signature': 'The certificate is not signed by the named key.',
  'certificate-names-other': 'The certificate names other evidence than the bundle holds.',
  'licence-stated': 'The certificate states the licence grant that it consumed.',
  'certificate-not-valid': 'The certificate that would state it is not verified.',
  pending: 'Announced, and not there yet.',
  absent: 'Not part of this bundle.',
  'bundle-malformed': 'The input is not a Proofline bundle.',
  'pdf-malformed': 'The file is no well-formed PDF.',
  'pdf-unsupported': 'The PDF has a structure that no certificate of Proofline has.',
  'pdf-too-large': 'The PDF is longer than any certificate.',
  'pdf-not-signed': 'The PDF does not begin its history with a signature.',
  'pdf-good': 'Every byte is accounted for, and nothing but evidence was added after the signature.',
  'pdf-changed-after-signature': 'Something other than evidence was added or replaced after the signature.',
  'pdf-range': 'A signature does not cover all of the document before it.',
  'pdf-signature-good': 'The PDF is as it was signed.',
  'pdf-signature-bad': 'The signature of the PDF is not a good one of what it covers.',
  'attachment-good': 'The PDF carries the certificate as canonical JSON.',
  'attachment-missing': 'The PDF carries no certificate.',
  'attachment-malformed': 'What the PDF carries does not have the form of a certificate.',
  'signing-certificate-good': 'The signer has a certificate below a signing root of the trust file, not revoked.',
  'signing-certificate-bad':
    'The certificate of the signer is not one for PDFs below a signing root of the trust file.',
  'signing-certificate-revoked': 'The certificate of the signer was revoked before the timestamp.',
  'signing-root-not-pinned': 'Without a trust file there is no root for the signer.',
  'signer-revocation-unverified':
    "No revocation list in force covers the signer's certificate; it is added to the PDF later.",
  'signature-stamped': 'An authority of the trust file stamped the signature.',
  'signature-stamped-self-operated': "The operator's own authority stamped the signature.",
  'signature-token-bad': 'The timestamp is not a good one of this signature.',
  'signature-token-absent': 'No timestamp shows when the PDF was signed.',
  'validation-data-good': 'Lists issued after the signature show that no certificate of it was revoked.',
  'validation-data-incomplete': 'The lists in the PDF do not cover both chains, or are older than the signature.',
  'validation-data-malformed': 'The validation data in the PDF cannot be read.',
  'archive-good': 'A document timestamp of an authority of the trust file protects the whole.',
  'archive-good-self-operated': "A document timestamp of the operator's own authority protects the whole.",
  'archive-bad': 'A document timestamp is not a good one of the document.',
  'no-bundle': 'No bundle was given to compare.',
  'bundle-equal': 'The PDF carries the certificate of the bundle, byte for byte.',
  'bundle-differs': 'The PDF carries another certificate than the bundle.',
} as const satisfies Record<string, string>;
export type Reason = keyof typeof REASONS;

export interface ClaimResult {
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** What exactly, for people; never parsed. */
  readonly detail?: string;
  /** RFC 3339 UTC. */
  readonly at?: string;
}

export interface VerificationResult {
  readonly overall: Verdict;
  readonly claims: Readonly<Record<Claim, ClaimResult>>;
  /** Undefined when the input is not a bundle. Time and number only where they are verified. */
  readonly subject?: {
    readonly proof: ProofId;
    readonly digest: Digest;
    readonly time?: string;
    readonly certificateNumber?: string;
  };
  /** Whose keys were believed: those of a trust file, or those that the bundle itself brought. */
  readonly trust: 'pinned' | 'own-keys';
  readonly consulted: { readonly ledger: boolean };
  /** Only where reference or metadata were disclosed to the verifier. */
  readonly disclosure?: DisclosureResult;
}

export function result(
  verdict: Verdict,
  reason: Reason,
  more: { detail?: string | undefined; at?: string | undefined } = {},
): ClaimResult {
  return {
    verdict,
    reason,
    ...(more.detail === undefined ? {} : { detail: more.detail.slice(0, 500) }),
    ...(more.at === undefined ? {} : { at: more.at }),
  };
}

/** What is not there: announced or not. */
export function missing(isPending: boolean): ClaimResult {
  return isPending ? result('pending', 'pending') : result('absent', 'absent');
}
