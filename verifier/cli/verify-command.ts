import { BUNDLE_MAX_LENGTH } from '../../domain/bundle-parse.ts';
import { utf8 } from '../../domain/bytes.ts';
import { type Digest, isDigestAlgorithm } from '../../domain/digest.ts';
import { DISCLOSURE_MAX_LENGTH, type Disclosure, parseDisclosure } from '../../domain/disclosure.ts';
import { openMirror } from '../http-mirror.ts';
import type { MirrorReader } from '../mirror.ts';
import type { PdfVerificationResult } from '../pdf/pdf-verdict.ts';
import { PDF_MAX_LENGTH } from '../pdf/revisions.ts';
import { type VerifyPdfOptions, verifyPdf } from '../pdf/verify-pdf.ts';
import { verifyBundle } from '../verify.ts';
import { readArguments, WrongCall } from './arguments.ts';
import { hashFile, readBounded, readHead } from './files.ts';
import { formatPdfResult, formatResult } from './print-result.ts';
import { readTrustFile } from './trust-file.ts';

export const VERIFY_USAGE = `  proofline verify BUNDLE [FILE] [--offline] [--json] [--trust FILE] [--disclosure FILE] [--mirror URL]…
      judges a bundle, and whether FILE is what it speaks of; without --mirror it opens no socket
  proofline verify CERTIFICATE.pdf [FILE] [--bundle BUNDLE] [the same options]
      judges a certificate PDF: its signature, timestamps and history, and whether it is the certificate of BUNDLE
      --trust   a pinned /.well-known/proofline.json; default .proofline/trust.json if it is there
      --disclosure  reference and metadata with their salts (/v1/proofs/{id}/disclosure): are they the ones committed to
      --mirror  asks a Hedera mirror about the anchors; all mirrors given must agree`;

const OPTIONS = {
  offline: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  bundle: { type: 'string' },
  trust: { type: 'string' },
  disclosure: { type: 'string' },
  mirror: { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** Returns the exit code: 0 only for an overall `valid`. Throws WrongCall, or Error on an input that cannot be read. */
export async function runVerify(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [bundlePath, filePath, ...more] = positionals;
  if (bundlePath === undefined) throw new WrongCall('a bundle is missing');
  if (more.length > 0) throw new WrongCall('one bundle and one file at most');
  if (values.offline && values.mirror.length > 0) throw new WrongCall('--offline and --mirror contradict each other');
  const mirrors = values.mirror.map(openNamed);
  const trustFile = await readTrustFile(values.trust);
  const trust = trustFile && { path: trustFile.path, instance: trustFile.trust.instance };
  if (await isPdf(bundlePath)) {
    const { bundle, disclosure } = values;
    if (disclosure !== undefined && bundle === undefined) throw new WrongCall('--disclosure speaks of a bundle');
    const result = await verifyPdfFile(bundlePath, filePath, bundle, {
      nowMs: Date.now(),
      mirrors,
      ...(trustFile === undefined ? {} : { trust: trustFile.trust }),
      ...(disclosure === undefined ? {} : { disclosure: await readDisclosure(disclosure) }),
    });
    const context = { bundlePath, filePath, trust, besidePath: bundle };
    process.stdout.write(values.json ? `${JSON.stringify(result, undefined, 2)}\n` : formatPdfResult(result, context));
    return result.overall === 'valid' ? 0 : 1;
  }
  if (values.bundle !== undefined) throw new WrongCall('--bundle goes with a PDF');
  // A UTF-16 unit is at most three bytes of UTF-8.
  const bytes = await readBounded(bundlePath, 3 * BUNDLE_MAX_LENGTH);
  const digest = filePath === undefined ? undefined : await hashAsStated(filePath, bytes);
  const disclosure = values.disclosure === undefined ? undefined : await readDisclosure(values.disclosure);
  const result = await verifyBundle(bytes, {
    nowMs: Date.now(),
    mirrors,
    ...(trustFile === undefined ? {} : { trust: trustFile.trust }),
    ...(digest === undefined ? {} : { digest }),
    ...(disclosure === undefined ? {} : { disclosure }),
  });
  process.stdout.write(
    values.json ? `${JSON.stringify(result, undefined, 2)}\n` : formatResult(result, { bundlePath, filePath, trust }),
  );
  return result.overall === 'valid' ? 0 : 1;
}

async function isPdf(path: string): Promise<boolean> {
  return utf8.decode((await readHead(path, 5)).map((byte) => byte & 0x7f)) === '%PDF-';
}

/** One byte more than a certificate may have is enough to refuse it. */
async function verifyPdfFile(
  path: string,
  filePath: string | undefined,
  bundlePath: string | undefined,
  options: VerifyPdfOptions,
): Promise<PdfVerificationResult> {
  const bytes = await readHead(path, PDF_MAX_LENGTH + 1);
  const bundle = bundlePath === undefined ? {} : { bundle: await readBounded(bundlePath, 3 * BUNDLE_MAX_LENGTH) };
  const result = await verifyPdf(bytes, { ...options, ...bundle });
  if (filePath === undefined) return result;
  // Only the certificate says by which algorithm the file is to be hashed.
  const digest = await hashFile(filePath, result.subject?.digest.alg ?? 'sha-256');
  return verifyPdf(bytes, { ...options, ...bundle, digest });
}

function openNamed(url: string): MirrorReader {
  try {
    return openMirror(url);
  } catch {
    throw new WrongCall(`--mirror ${JSON.stringify(url)} is not an http(s) URL`);
  }
}

async function readDisclosure(path: string): Promise<Disclosure> {
  return parseDisclosure(utf8.decode(await readBounded(path, 3 * DISCLOSURE_MAX_LENGTH)));
}

/** The file's digest under the algorithm that the bundle names; SHA-256 where it names none. */
async function hashAsStated(path: string, bundle: Uint8Array): Promise<Digest> {
  let alg: unknown;
  try {
    const { statement } = JSON.parse(utf8.decode(bundle)) as { statement?: { digest?: { alg?: unknown } } };
    alg = statement?.digest?.alg;
  } catch {
    alg = undefined;
  }
  return hashFile(path, isDigestAlgorithm(alg) ? alg : 'sha-256');
}
