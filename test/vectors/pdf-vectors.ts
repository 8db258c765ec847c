/** Certificate PDFs, good and bad, with the verdicts that they deserve. Small ones: one empty page, little room for tokens. */
import 'reflect-metadata';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { payloadOf } from '../../local/evidence/instance.ts';
import type { PdfClaim, PdfLevel } from '../../verifier/pdf/pdf-verdict.ts';
import type { Reason, Verdict } from '../../verifier/verdict.ts';
import { type BadPdf, tamperedPdfs, wronglySignedPdfs } from '../pdf/bad-pdfs.ts';
import { smallPdf } from '../pdf/small-pdf.ts';
import { makeLevels, makePdfWorld, trustOf } from '../pdf/world.ts';
import type { Scene } from './scene.ts';

type Expected = readonly [Verdict, Reason];

export interface PdfVector {
  readonly name: string;
  readonly says: string;
  readonly pdf: Uint8Array;
  readonly bundle?: unknown;
  readonly trust?: TrustDocument;
  readonly overall: Verdict;
  readonly level?: PdfLevel;
  /** Where it differs from a good PDF of level B-LT. */
  readonly claims?: Partial<Record<PdfClaim, Expected>>;
}

export const GOOD_PDF: Readonly<Record<PdfClaim, Expected>> = {
  document: ['valid', 'pdf-good'],
  attachment: ['valid', 'attachment-good'],
  digest: ['absent', 'no-file'],
  signature: ['valid', 'pdf-signature-good'],
  key: ['valid', 'signing-certificate-good'],
  timestamp: ['valid', 'signature-stamped'],
  validation: ['valid', 'validation-data-good'],
  archive: ['absent', 'absent'],
  bundle: ['absent', 'no-bundle'],
};

const AT = Date.parse('2026-11-23T09:00:00Z');
const TOKEN_RESERVE = 1_792;
const ARCHIVE = { archive: ['valid', 'archive-good'] } as const;
const NO_LISTS = {
  key: ['unverified', 'signer-revocation-unverified'],
  timestamp: ['unverified', 'revocation-unverified'],
  validation: ['absent', 'absent'],
} as const;

const every = (expected: Expected): Record<PdfClaim, Expected> => ({
  ...(Object.fromEntries(Object.keys(GOOD_PDF).map((claim) => [claim, expected])) as Record<PdfClaim, Expected>),
  bundle: ['absent', 'no-bundle'],
});

export async function pdfVectors(scene: Scene): Promise<PdfVector[]> {
  const world = await makePdfWorld('ES256', AT);
  const trust = trustOf(world, scene.trust);
  const unsigned = smallPdf(canonicalBytes(payloadOf(scene.good, scene.anchor)));
  const levels = await makeLevels(world, unsigned, TOKEN_RESERVE);
  const all: BadPdf[] = [...tamperedPdfs(levels), ...(await wronglySignedPdfs(world, unsigned, levels))];
  const bad = (name: string, says: string, claims: PdfVector['claims'], level?: PdfLevel): PdfVector => {
    const found = all.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no PDF ${name}`);
    const { bytes: pdf, overall } = found;
    return {
      name: `pdf-bad-${name}`,
      says,
      pdf,
      trust,
      overall,
      ...(claims === undefined ? {} : { claims }),
      ...(level === undefined ? {} : { level }),
    };
  };
  return [
    {
      name: 'pdf-b-t',
      says: 'Signed and stamped; no list shows yet that nothing was revoked.',
      pdf: levels['B-T'],
      trust,
      overall: 'unverified',
      level: 'B-T',
      claims: NO_LISTS,
    },
    {
      name: 'pdf-good-b-lt',
      says: 'With the lists of both chains, beside its bundle.',
      pdf: levels['B-LT'],
      bundle: scene.good,
      trust,
      overall: 'valid',
      level: 'B-LT',
      claims: { bundle: ['valid', 'bundle-equal'] },
    },
    {
      name: 'pdf-good-b-lta',
      says: 'Under a document timestamp.',
      pdf: levels['B-LTA'],
      trust,
      overall: 'valid',
      level: 'B-LTA',
      claims: ARCHIVE,
    },
    {
      name: 'pdf-good-renewed',
      says: 'Under a second document timestamp.',
      pdf: levels.renewed,
      trust,
      overall: 'valid',
      level: 'B-LTA',
      claims: ARCHIVE,
    },
    {
      name: 'pdf-own-keys',
      says: 'Without a trust file nobody vouches for its roots.',
      pdf: levels['B-LT'],
      overall: 'unverified',
      level: 'B-T',
      claims: {
        key: ['unverified', 'signing-root-not-pinned'],
        timestamp: ['unverified', 'tsa-root-not-pinned'],
        validation: ['unverified', 'validation-data-incomplete'],
      },
    },
    {
      name: 'pdf-bad-other-bundle',
      says: 'Beside the bundle of another proof.',
      pdf: levels['B-LT'],
      bundle: scene.neighbour,
      trust,
      overall: 'invalid',
      level: 'B-LT',
      claims: { bundle: ['invalid', 'bundle-differs'] },
    },
    {
      name: 'pdf-bad-other-structure',
      says: 'A PDF with a cross-reference stream.',
      pdf: Buffer.from(OTHER_STRUCTURE),
      trust,
      overall: 'invalid',
      claims: every(['invalid', 'pdf-unsupported']),
    },
    bad('flipped-content', 'One byte of the page is another.', {
      ...ARCHIVE,
      signature: ['invalid', 'pdf-signature-bad'],
      archive: ['invalid', 'archive-bad'],
    }),
    bad(
      'shadow-page',
      'A later revision shows another page.',
      { ...ARCHIVE, document: ['invalid', 'pdf-changed-after-signature'] },
      'B-LTA',
    ),
    bad(
      'object-after-signature',
      'A later revision adds an object that is no evidence.',
      { document: ['invalid', 'pdf-changed-after-signature'] },
      'B-LT',
    ),
    bad('wrong-ess', 'The signature names another certificate than the one that verifies it.', {
      signature: ['invalid', 'pdf-signature-bad'],
    }),
    bad('truncated', 'The end is missing.', every(['invalid', 'pdf-malformed'])),
    bad('truncated-token', 'The timestamp ends early.', {
      signature: ['invalid', 'pdf-signature-bad'],
      key: ['invalid', 'pdf-signature-bad'],
      timestamp: ['invalid', 'pdf-signature-bad'],
      validation: ['invalid', 'pdf-signature-bad'],
    }),
  ];
}

const OTHER_STRUCTURE = `%PDF-1.7
1 0 obj
<</Type /Catalog>>
endobj
2 0 obj
<</Type /XRef /Size 3 /Root 1 0 R /W [1 2 1] /Length 12>>
stream
000000000000
endstream
endobj
startxref
44
%%EOF
`;
