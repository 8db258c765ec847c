/**
 * Verifies a certificate PDF, alone or beside its bundle: nine claims and what they amount to. Runs offline, in Node and
 * in a browser. Nothing hostile throws: it becomes `invalid` with a reason.
 */
import { parseBundle, readBundle } from '../../domain/bundle-parse.ts';
import { equalBytes, fromBase64Url, utf8 } from '../../domain/bytes.ts';
import type { CertificatePayload } from '../../domain/certificate.ts';
import { parseCertificatePayload } from '../../domain/certificate-parse.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { type Certificate, readCertificate } from '../../domain/timestamp/certificate.ts';
import { type Crl, readCrl } from '../../domain/timestamp/crl.ts';
import { readPem } from '../../domain/timestamp/pem.ts';
import { attempt } from '../../domain/timestamp/points.ts';
import { createVerifierCache, type VerifierCache } from '../cache.ts';
import { checkDigest } from '../digest.ts';
import { NO_KEYS, type TrustView, viewTrust } from '../trust-view.ts';
import { type ClaimResult, result, type VerificationResult } from '../verdict.ts';
import { type VerifyOptions, verifyBundle } from '../verify.ts';
import { readAttachment } from './attachment.ts';
import { findCmsFaults, type OpenCms, openCms } from './cms.ts';
import { readValidationData, type ValidationData } from './dss.ts';
import {
  judgePdfOverall,
  PDF_CLAIMS,
  type PdfClaim,
  type PdfLevel,
  type PdfRevision,
  type PdfVerificationResult,
} from './pdf-verdict.ts';
import { PDF_MAX_LENGTH, type PdfFile, type Revision, readPdf, type State } from './revisions.ts';
import { PdfFault } from './scan.ts';
import { type FoundSignature, findSignatures } from './signatures.ts';
import { isAfter, judgeSigner } from './signer-chain.ts';
import { type JudgedStamp, judgeStamp } from './stamps.ts';
import { findForbiddenChange } from './updates.ts';

/** As for a bundle; a disclosure speaks of the bundle. */
export interface VerifyPdfOptions extends VerifyOptions {
  /** The bundle that the certificate is of: JSON text, UTF-8 bytes, or the value read from it. */
  readonly bundle?: unknown;
}

type Claims = Record<PdfClaim, ClaimResult>;

const sharedCache = createVerifierCache();

/** Throws only on a trust document whose vkeys are malformed (LogFormatError). */
export async function verifyPdf(bytes: Uint8Array, options: VerifyPdfOptions): Promise<PdfVerificationResult> {
  const view = options.trust === undefined ? NO_KEYS : viewTrust(options.trust);
  const cache = options.cache ?? sharedCache;
  const bundle = options.bundle === undefined ? undefined : await verifyBundle(options.bundle, options);
  const outcome = await judgeFile(bytes, view, options, cache).catch((fault: unknown) => refuse(fault));
  const claims: Claims = { ...outcome.claims, bundle: compareBundle(options.bundle, bundle, outcome.attached) };
  const { payload, level, revisions } = outcome;
  const { at } = claims.timestamp;
  return {
    overall: judgePdfOverall(claims, view.source, bundle?.overall),
    claims,
    ...(level === undefined ? {} : { level }),
    ...(revisions === undefined ? {} : { revisions }),
    ...(payload === undefined
      ? {}
      : {
          subject: {
            proof: payload.proof,
            digest: payload.digest,
            certificateNumber: payload.number,
            ...(at !== undefined && ['valid', 'expired-but-protected'].includes(claims.timestamp.verdict)
              ? { time: at }
              : {}),
          },
        }),
    trust: view.source,
    consulted: { ledger: bundle?.consulted.ledger ?? false },
    ...(bundle === undefined ? {} : { bundle }),
  };
}

interface Outcome {
  readonly claims: Omit<Claims, 'bundle'>;
  readonly level?: PdfLevel | undefined;
  readonly revisions?: readonly PdfRevision[];
  readonly payload?: CertificatePayload | undefined;
  /** The bytes of the attachment. */
  readonly attached?: Uint8Array | undefined;
}

async function judgeFile(
  bytes: Uint8Array,
  view: TrustView,
  options: VerifyPdfOptions,
  cache: VerifierCache,
): Promise<Outcome> {
  if (bytes.length > PDF_MAX_LENGTH)
    return everyClaim(result('invalid', 'pdf-too-large', { detail: `more than ${PDF_MAX_LENGTH} bytes` }));
  const file = readPdf(new Uint8Array(bytes));
  const found = findSignatures(file);
  const [first, ...later] = found;
  const revisions = file.revisions.map(({ end }, i) => ({ holds: holdsOf(found, file, i), end }));
  if (first === undefined || first.kind !== 'signature')
    return { ...everyClaim(result('invalid', 'pdf-not-signed')), revisions };
  const second = later.find(({ kind }) => kind === 'signature');
  const { trailer } = file.revisions[first.revision] as Revision;
  const signedState = file.states[first.revision] as State;
  const attachment = await openAttachment(signedState, trailer);
  const lastState = file.states[file.states.length - 1] as State;
  const data = await readValidationData(lastState, trailer);
  const signed = await judgeSignature(first, later, data, view, Math.trunc(options.nowMs), cache);
  const changed = second === undefined ? findChange(file, first.revision) : 'a second signature';
  const strayStamp = later.find(({ gapFault }) => gapFault !== undefined)?.gapFault;
  return {
    claims: {
      document:
        changed !== undefined
          ? result('invalid', 'pdf-changed-after-signature', { detail: changed })
          : strayStamp !== undefined
            ? result('invalid', 'pdf-range', { detail: strayStamp })
            : result('valid', 'pdf-good', { detail: describeRevisions(revisions) }),
      attachment: attachment.claim,
      digest:
        attachment.payload === undefined
          ? result('absent', 'no-file')
          : checkDigest(attachment.payload.digest, options.digest),
      ...signed.claims,
    },
    level: signed.level,
    revisions,
    payload: attachment.payload,
    attached: attachment.bytes,
  };
}

/** The first revision after the signature that does more than it may. */
function findChange(file: PdfFile, signedRevision: number): string | undefined {
  for (let i = signedRevision + 1; i < file.revisions.length; i++) {
    const [before, after] = [file.states[i - 1] as State, file.states[i] as State];
    const [signed, update] = [file.revisions[i - 1] as Revision, file.revisions[i] as Revision];
    const why = findForbiddenChange(before, signed, update, after);
    if (why !== undefined) return `revision ${i + 1}: ${why}`;
  }
  return undefined;
}

interface Attachment {
  readonly claim: ClaimResult;
  readonly payload?: CertificatePayload;
  readonly bytes?: Uint8Array;
}

async function openAttachment(state: State, trailer: Revision['trailer']): Promise<Attachment> {
  const bytes = await readAttachment(state, trailer);
  if (bytes === undefined) return { claim: result('invalid', 'attachment-missing') };
  try {
    const payload = parseCertificatePayload(bytes);
    return {
      claim: result('valid', 'attachment-good', { detail: `number ${payload.number}`, at: payload.issuedAt }),
      payload,
      bytes,
    };
  } catch (error) {
    return {
      claim: result('invalid', 'attachment-malformed', {
        detail: error instanceof ProoflineError ? error.message : undefined,
      }),
      bytes,
    };
  }
}

interface JudgedSignature {
  readonly claims: Pick<Claims, 'signature' | 'key' | 'timestamp' | 'validation' | 'archive'>;
  readonly level: PdfLevel | undefined;
}

async function judgeSignature(
  found: FoundSignature,
  later: readonly FoundSignature[],
  data: ValidationData | undefined,
  view: TrustView,
  nowMs: number,
  cache: VerifierCache,
): Promise<JudgedSignature> {
  const held = data ?? { certificates: [], crls: [] };
  const stored = readStored(held, view, cache);
  const archive = await judgeArchive(later, held, view, cache);
  const opened = openCms(found.cms, cache.timestamps);
  if (typeof opened === 'string') {
    const bad = result('invalid', 'pdf-signature-bad', { detail: opened });
    return {
      claims: { signature: bad, key: bad, timestamp: bad, validation: bad, archive: archive.claim },
      level: undefined,
    };
  }
  const stamp = await judgeOwnStamp(opened, held, view, cache);
  const signature = await judgeCms(found, opened, cache);
  const signer =
    stored === undefined
      ? undefined
      : await judgeSigner(
          { ...stored, leaf: opened.leaf, pool: [...opened.certificates, ...stored.pool], stamp, view },
          cache.timestamps,
        );
  const malformed = result('invalid', 'validation-data-malformed');
  const line = [stamp, ...archive.stamps].filter((one) => one !== undefined);
  const broken = findBreak(line);
  const nowMicros = BigInt(nowMs) * 1000n;
  const isProven = (signer?.isProvenByFreshLists ?? false) && (await isStampProven(opened, stamp, held, view, cache));
  const claims = {
    signature,
    key: signer?.claim ?? malformed,
    timestamp:
      stamp === undefined ? result('absent', 'signature-token-absent') : protect(stamp, archive.stamps, nowMicros),
    validation:
      data === undefined
        ? result('absent', 'absent')
        : stored === undefined
          ? malformed
          : isProven
            ? result('valid', 'validation-data-good', {
                detail: `${held.certificates.length} certificates, ${held.crls.length} lists`,
              })
            : result('unverified', 'validation-data-incomplete'),
    archive: broken === undefined ? standing(archive, nowMicros) : result('invalid', 'archive-bad', { detail: broken }),
  };
  return { claims, level: levelOf(claims, stamp) };
}

function levelOf(claims: JudgedSignature['claims'], stamp: JudgedStamp | undefined): PdfLevel | undefined {
  if (claims.signature.verdict !== 'valid') return undefined;
  if (stamp === undefined || claims.timestamp.verdict === 'invalid') return 'B-B';
  if (claims.validation.verdict !== 'valid') return 'B-T';
  return claims.archive.verdict === 'absent' || claims.archive.verdict === 'invalid' ? 'B-LT' : 'B-LTA';
}

/** Certificates and lists of the store and the pinned roots; undefined when one of the store's cannot be read. */
function readStored(
  data: ValidationData,
  view: TrustView,
  { timestamps }: VerifierCache,
): { pool: readonly Certificate[]; crls: readonly Crl[]; roots: readonly Certificate[] } | undefined {
  const read = attempt(() => ({
    pool: data.certificates.map((der) => readCertificate(der, timestamps)),
    crls: data.crls.map((der) => readCrl(der, timestamps)),
  }));
  if (!read.ok) return undefined;
  const roots = view.signingRoots
    .flatMap((pem) => readPem(pem, timestamps))
    .map((der) => readCertificate(der, timestamps));
  return { ...read.value, roots };
}

async function judgeCms(found: FoundSignature, opened: OpenCms, cache: VerifierCache): Promise<ClaimResult> {
  if (found.gapFault !== undefined) return result('invalid', 'pdf-range', { detail: found.gapFault });
  const faults = await findCmsFaults(opened, found.covered, cache.timestamps);
  return faults.length > 0
    ? result('invalid', 'pdf-signature-bad', { detail: faults.join('; ') })
    : result('valid', 'pdf-signature-good');
}

const OWN_STAMP = {
  good: 'signature-stamped',
  selfOperated: 'signature-stamped-self-operated',
  bad: 'signature-token-bad',
} as const;
const ARCHIVE = { good: 'archive-good', selfOperated: 'archive-good-self-operated', bad: 'archive-bad' } as const;

async function judgeOwnStamp(
  { token, signer }: OpenCms,
  data: ValidationData,
  view: TrustView,
  cache: VerifierCache,
): Promise<JudgedStamp | undefined> {
  return token === undefined ? undefined : judgeStamp(token, signer.signature, data, view, OWN_STAMP, cache.timestamps);
}

/** Whether lists issued after the signature, in force, cover the chain of its timestamp too. */
async function isStampProven(
  { token, signer }: OpenCms,
  stamp: JudgedStamp | undefined,
  data: ValidationData,
  view: TrustView,
  cache: VerifierCache,
): Promise<boolean> {
  const from = stamp?.genTimeMicros;
  if (token === undefined || from === undefined) return false;
  const crls = data.crls.filter((der) => {
    const read = attempt(() => isAfter(readCrl(der, cache.timestamps), from));
    return read.ok && read.value;
  });
  const again = await judgeStamp(token, signer.signature, { ...data, crls }, view, OWN_STAMP, cache.timestamps);
  return again.claim.verdict === 'valid';
}

interface Archive {
  readonly claim: ClaimResult;
  readonly stamps: readonly JudgedStamp[];
}

/** Every document timestamp; the weakest of them speaks, the newest where all are good. */
async function judgeArchive(
  found: readonly FoundSignature[],
  data: ValidationData,
  view: TrustView,
  cache: VerifierCache,
): Promise<Archive> {
  const stamps: JudgedStamp[] = [];
  for (const { kind, cms, covered } of found)
    if (kind === 'timestamp') stamps.push(await judgeStamp(cms, covered, data, view, ARCHIVE, cache.timestamps));
  const claims = stamps.map(({ claim }) => claim);
  const worst =
    claims.find(({ verdict }) => verdict === 'invalid') ?? claims.find(({ verdict }) => verdict === 'unverified');
  return { claim: worst ?? claims[claims.length - 1] ?? result('absent', 'absent'), stamps };
}

/** Each timestamp must have come while the one before it was in force. */
function findBreak(line: readonly JudgedStamp[]): string | undefined {
  for (const [i, next] of line.entries()) {
    const last = line[i - 1];
    if (last?.genTimeMicros === undefined || last.endsMicros === undefined || next.genTimeMicros === undefined)
      continue;
    if (next.genTimeMicros < last.genTimeMicros || next.genTimeMicros >= last.endsMicros)
      return `timestamp ${i + 1} is outside the life of the one before it`;
  }
  return undefined;
}

const isInForce = (stamp: JudgedStamp | undefined, nowMicros: bigint): boolean =>
  stamp?.endsMicros !== undefined && nowMicros < stamp.endsMicros;

/** Claim `timestamp` at the reader's time: ended since, and protected or not. */
function protect(stamp: JudgedStamp, later: readonly JudgedStamp[], nowMicros: bigint): ClaimResult {
  if (stamp.claim.verdict !== 'valid' || isInForce(stamp, nowMicros)) return stamp.claim;
  const { at } = stamp.claim;
  const last = later[later.length - 1];
  return last?.claim.verdict === 'valid' && isInForce(last, nowMicros)
    ? result('expired-but-protected', 'token-expired-renewed', { at })
    : result('unverified', 'token-expired', { at });
}

function standing({ claim, stamps }: Archive, nowMicros: bigint): ClaimResult {
  if (claim.verdict !== 'valid' || isInForce(stamps[stamps.length - 1], nowMicros)) return claim;
  return result('unverified', 'token-expired', { at: claim.at });
}

/** The attachment must be the certificate of the bundle, byte for byte. */
function compareBundle(
  input: unknown,
  verified: VerificationResult | undefined,
  attached: Uint8Array | undefined,
): ClaimResult {
  if (input === undefined || verified === undefined) return result('absent', 'no-bundle');
  let certificate: string | undefined;
  let isPending: boolean;
  try {
    const text = ArrayBuffer.isView(input) ? utf8.decode(input as Uint8Array) : input;
    const bundle = typeof text === 'string' ? parseBundle(text) : readBundle(text);
    certificate = bundle.certificate;
    isPending = bundle.pending.includes('certificate');
  } catch {
    return result('invalid', 'bundle-malformed');
  }
  if (certificate === undefined)
    return isPending
      ? result('pending', 'pending')
      : result('invalid', 'bundle-differs', { detail: 'the bundle has no certificate' });
  const payload = fromBase64Url(certificate.split('.')[1] ?? '');
  return payload !== undefined && attached !== undefined && equalBytes(payload, attached)
    ? result('valid', 'bundle-equal')
    : result('invalid', 'bundle-differs');
}

function holdsOf(found: readonly FoundSignature[], file: PdfFile, revision: number): PdfRevision['holds'] {
  const here = found.find((one) => one.revision === revision);
  if (here !== undefined) return here.kind;
  const first = found[0]?.revision ?? file.revisions.length;
  return revision < first ? 'content' : 'validation-data';
}

const describeRevisions = (revisions: readonly PdfRevision[]): string => revisions.map(({ holds }) => holds).join(', ');

function everyClaim(claim: ClaimResult): Outcome {
  return {
    claims: Object.fromEntries(PDF_CLAIMS.map((name) => [name, claim])) as Claims,
  };
}

/** What cannot be read supports no claim. */
function refuse(fault: unknown): Outcome {
  if (fault instanceof PdfFault)
    return everyClaim(
      result('invalid', fault.kind === 'unsupported' ? 'pdf-unsupported' : 'pdf-malformed', { detail: fault.message }),
    );
  return everyClaim(result('invalid', 'pdf-malformed'));
}
