/**
 * Verifies a bundle: nine claims, each judged on its own, and what they amount to. Runs offline unless mirrors are
 * given, in Node and in a browser. Nothing hostile throws: it becomes `invalid` with a reason.
 */
import type { Bundle } from '../domain/bundle.ts';
import { parseBundle, readBundle } from '../domain/bundle-parse.ts';
import { utf8 } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import type { Digest } from '../domain/digest.ts';
import type { Disclosure } from '../domain/disclosure.ts';
import { ProoflineError } from '../domain/errors.ts';
import { leafDataOfText } from '../domain/seal.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { checkAnchor } from './anchor.ts';
import { createVerifierCache, type VerifierCache } from './cache.ts';
import { checkCertificate, openCertificate } from './certificate.ts';
import { checkCheckpoint, openCheckpoint } from './checkpoint.ts';
import { checkDigest } from './digest.ts';
import { checkDisclosure } from './disclosure.ts';
import { checkInclusion } from './inclusion.ts';
import { checkKey } from './key.ts';
import { checkLicence } from './licence.ts';
import type { MirrorReader } from './mirror.ts';
import { judgeOverall } from './overall.ts';
import { checkSeal } from './seal.ts';
import { checkTimestamp } from './timestamp.ts';
import { findKey, viewOwnKeys, viewTrust } from './trust-view.ts';
import { CLAIMS, type Claim, type ClaimResult, result, type VerificationResult } from './verdict.ts';

export interface VerifyOptions {
  /** The pinned trust file. Without one the bundle's own keys are used, and the overall verdict is at most `unverified`. */
  readonly trust?: TrustDocument;
  /** The digest of the file that the reader has. */
  readonly digest?: Digest;
  /** Reference or metadata with their salts, as the owner showed them. */
  readonly disclosure?: Disclosure;
  /** Mirrors to ask about anchors; none: no socket is opened. */
  readonly mirrors?: readonly MirrorReader[];
  /** The reader's clock, milliseconds since the epoch: decides only whether certificates have ended since. */
  readonly nowMs: number;
  /** Default: one per process. */
  readonly cache?: VerifierCache;
}

const sharedCache = createVerifierCache();

/**
 * Verifies a bundle given as JSON text, as its UTF-8 bytes, or as the value that a strict parser read from it. Throws only on a trust
 * document whose vkeys are malformed (LogFormatError).
 */
export async function verifyBundle(input: unknown, options: VerifyOptions): Promise<VerificationResult> {
  const pinned = options.trust === undefined ? undefined : viewTrust(options.trust);
  let bundle: Bundle;
  try {
    const text = ArrayBuffer.isView(input) ? utf8.decode(input as Uint8Array) : input;
    bundle = typeof text === 'string' ? parseBundle(text) : readBundle(text);
  } catch (error) {
    return refuse(error, options);
  }
  const view = pinned ?? viewOwnKeys(bundle);
  const { trust: _trust, mirrors = [], nowMs, cache = sharedCache } = options;
  const statementText = canonicalText(bundle.statement);
  const leaf = leafDataOfText(statementText, bundle.seal);
  const opened = bundle.checkpoint === undefined ? undefined : openCheckpoint(bundle.checkpoint);
  const certified = openCertificate(bundle);
  const named = certified.isPresent ? certified.parsed?.payload.timestamp.tokenSha256 : undefined;
  const { kid, version } = bundle.statement.key;
  const sealKey = findKey(view, bundle, 'seal', kid, version);

  const stamped = await checkTimestamp(bundle, opened, view, named, BigInt(Math.trunc(nowMs)) * 1000n, cache);
  const { time, tokens } = stamped;
  const evidence = { bundle, leaf, checkpoint: opened, tokens };
  const certificate = await checkCertificate(certified, evidence, view, cache);
  const claims: Record<Claim, ClaimResult> = {
    digest: checkDigest(bundle.statement.digest, options.digest),
    seal: await checkSeal(bundle, utf8.encode(statementText), sealKey, cache),
    key: checkKey(sealKey, time),
    inclusion: checkInclusion(bundle, leaf, opened),
    checkpoint: await checkCheckpoint(bundle, view, time, cache),
    timestamp: stamped.claim,
    anchor: await checkAnchor({ bundle, leaf, certificate: certified, view, time, mirrors, nowMs, cache }),
    certificate,
    licence: checkLicence(certified, certificate),
  };
  const number = certified.isPresent ? certified.parsed?.payload.number : undefined;
  const disclosure =
    options.disclosure === undefined ? undefined : checkDisclosure(bundle.statement, options.disclosure);
  return {
    overall: judgeOverall(claims, view.source, Object.values(disclosure ?? {})),
    claims,
    subject: {
      proof: bundle.statement.proof,
      digest: bundle.statement.digest,
      ...(time.isVerified && time.at !== undefined ? { time: time.at } : {}),
      ...(certificate.verdict === 'valid' && number !== undefined ? { certificateNumber: number } : {}),
    },
    trust: view.source,
    consulted: { ledger: mirrors.length > 0 && bundle.anchors.length > 0 },
    ...(disclosure === undefined ? {} : { disclosure }),
  };
}

/** What is no bundle supports no claim. */
function refuse(error: unknown, { trust }: VerifyOptions): VerificationResult {
  const detail = error instanceof ProoflineError ? error.message : 'not UTF-8';
  const claim = result('invalid', 'bundle-malformed', { detail });
  return {
    overall: 'invalid',
    claims: Object.fromEntries(CLAIMS.map((name) => [name, claim])) as Record<Claim, ClaimResult>,
    trust: trust === undefined ? 'own-keys' : 'pinned',
    consulted: { ledger: false },
  };
}
