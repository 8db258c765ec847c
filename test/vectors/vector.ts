/** A vector: a folder of `verifier/vectors/` with a bundle, what the reader has beside it, and what must come out. */
import type { TrustDocument } from '../../domain/trust.ts';
import type { Claim, Reason, Verdict } from '../../verifier/verdict.ts';

export type Expected = readonly [Verdict, Reason];

export interface Vector {
  readonly name: string;
  readonly says: string;
  /** A bundle, or the very text or bytes of `bundle.json`. */
  readonly bundle: unknown;
  readonly trust?: TrustDocument;
  /** Content of `file`. */
  readonly file?: string;
  /** The reader's clock; default a day after the timestamp. */
  readonly now?: string;
  readonly overall: Verdict;
  /** Where it differs from a good bundle. */
  readonly claims?: Partial<Record<Claim, Expected>>;
}

export const NOW = '2026-11-24T08:00:00Z';

/** The claims of a good bundle, judged under a trust file and without a file. */
export const GOOD: Readonly<Record<Claim, Expected>> = {
  digest: ['absent', 'no-file'],
  seal: ['valid', 'seal-good'],
  key: ['valid', 'key-good'],
  inclusion: ['valid', 'included'],
  checkpoint: ['valid', 'checkpoint-good'],
  timestamp: ['valid', 'token-good'],
  anchor: ['unverified', 'ledger-not-consulted'],
  certificate: ['valid', 'certificate-good'],
  licence: ['valid', 'licence-stated'],
};

/** All claims with one verdict, for what is no bundle. */
export function every(expected: Expected): Record<Claim, Expected> {
  return Object.fromEntries(Object.keys(GOOD).map((claim) => [claim, expected])) as Record<Claim, Expected>;
}
