import { sha256 } from '@noble/hashes/sha2.js';
import type { Bundle, BundleTimestamp, StoredToken } from '../domain/bundle.ts';
import { fromBase64Url, toHex, utf8 } from '../domain/bytes.ts';
import type { ArchiveStep } from '../domain/evidence-record/archive-steps.ts';
import { stepsOfTimestamp } from '../domain/evidence-record/of-timestamp.ts';
import { parseInstant } from '../domain/time.ts';
import { type TimestampVerdict, verifyTimestampToken } from '../domain/timestamp/verify-token.ts';
import type { VerifierCache } from './cache.ts';
import type { OpenCheckpoint } from './checkpoint.ts';
import type { TrustView } from './trust-view.ts';
import { type ClaimResult, missing, result } from './verdict.ts';

/** The time that the rest is judged at: genTime of the token that counts. */
export interface ProofTime {
  /** genTime less and plus its accuracy (at most a minute) and the second that it may be cut to. */
  readonly earliestMicros: bigint | undefined;
  readonly latestMicros: bigint | undefined;
  /** genTime, RFC 3339 with six fraction digits. */
  readonly at: string | undefined;
  /** The token is good under the trust file. */
  readonly isVerified: boolean;
  readonly isPending: boolean;
  readonly source: TrustView['source'];
}

/** A token of the bundle, as the certificate may name it. */
export interface SeenToken {
  readonly tsa: string;
  readonly sha256: string;
  readonly claim: ClaimResult;
  readonly genTimeMicros: bigint | undefined;
  readonly accuracyMicros: number;
}

export interface TimestampClaim {
  readonly claim: ClaimResult;
  readonly time: ProofTime;
  readonly tokens: readonly SeenToken[];
}

const SECOND = 1_000_000n;
const MAX_ACCURACY = 60_000_000;
/** A token with larger revocation lists is judged anew each time, so that memory stays bounded. */
const MAX_KEY_LENGTH = 65_536;

/**
 * Claim `timestamp`: an authority stamped the checkpoint's body (RFC 3161; points 2, 3, 5 to 10 and 12 of our list, at
 * genTime). Where there are several tokens, the one that the certificate names counts, else the first; a bad one among
 * them makes the claim invalid.
 */
export async function checkTimestamp(
  bundle: Bundle,
  checkpoint: OpenCheckpoint | undefined,
  view: TrustView,
  namedSha256: string | undefined,
  nowMicros: bigint,
  cache: VerifierCache,
): Promise<TimestampClaim> {
  const isPending = bundle.pending.includes('timestamp') || bundle.pending.includes('inclusion');
  const noTime = { earliestMicros: undefined, latestMicros: undefined, at: undefined, isVerified: false };
  const base = { isPending: isPending && bundle.timestamps.length === 0, source: view.source };
  if (bundle.timestamps.length === 0) return { claim: missing(isPending), time: { ...noTime, ...base }, tokens: [] };
  if (checkpoint === undefined)
    return {
      claim: result('invalid', 'token-bad', { detail: 'there is no readable checkpoint that it could cover' }),
      time: { ...noTime, ...base },
      tokens: [],
    };
  const data = utf8.encode(checkpoint.body);
  const tokens: SeenToken[] = [];
  for (const stored of bundle.timestamps) tokens.push(await judgeStored(stored, data, view, nowMicros, cache));
  const counted = tokens.find((token) => token.sha256 === namedSha256) ?? (tokens[0] as SeenToken);
  const bad = tokens.find((token) => token.claim.verdict === 'invalid');
  const { claim, genTimeMicros, accuracyMicros } = counted;
  if (genTimeMicros === undefined) return { claim: bad?.claim ?? claim, time: { ...noTime, ...base }, tokens };
  const slack = BigInt(Math.min(accuracyMicros, MAX_ACCURACY)) + SECOND;
  const time: ProofTime = {
    earliestMicros: genTimeMicros - slack,
    latestMicros: genTimeMicros + slack,
    at: claim.at,
    isVerified: claim.verdict === 'valid' || claim.verdict === 'expired-but-protected',
    ...base,
  };
  return { claim: bad?.claim ?? claim, time, tokens };
}

/** One token and its renewals: the newest must be in force now, each earlier one until its successor came. */
async function judgeStored(
  stored: BundleTimestamp,
  data: Uint8Array,
  view: TrustView,
  nowMicros: bigint,
  cache: VerifierCache,
): Promise<SeenToken> {
  const first = await judgeToken(stored, sha256(data), view, cache);
  const seen = (claim: ClaimResult): SeenToken => ({
    tsa: stored.tsa,
    sha256: first.sha256,
    claim,
    genTimeMicros: first.genTimeMicros,
    accuracyMicros: first.accuracyMicros,
  });
  if (first.endsMicros === undefined || first.claim.verdict === 'invalid') return seen(first.claim);
  const { at } = first.claim;
  const steps = readSteps(data, stored);
  if (typeof steps === 'string') return seen(result('invalid', 'token-bad', { detail: `a renewal: ${steps}`, at }));
  let last = first;
  for (const [i, renewal] of (stored.renewals ?? []).entries()) {
    const next = await judgeToken(renewal, steps[i + 1]?.imprint ?? new Uint8Array(0), view, cache);
    if (next.claim.verdict === 'invalid') return seen(next.claim);
    const isInTime =
      next.genTimeMicros !== undefined &&
      last.genTimeMicros !== undefined &&
      last.endsMicros !== undefined &&
      next.genTimeMicros >= last.genTimeMicros &&
      next.genTimeMicros < last.endsMicros;
    if (!isInTime)
      return seen(result('invalid', 'token-bad', { detail: 'a renewal outside the life of what it renews', at }));
    if (next.claim.verdict !== 'valid') return seen(next.claim);
    last = next;
  }
  if (first.claim.verdict !== 'valid' || nowMicros < first.endsMicros) return seen(first.claim);
  return seen(
    last !== first && last.endsMicros !== undefined && nowMicros < last.endsMicros
      ? result('expired-but-protected', 'token-expired-renewed', { at })
      : result('unverified', 'token-expired', { at }),
  );
}

/** What each renewal must be over, or why that cannot be said. */
function readSteps(data: Uint8Array, stored: BundleTimestamp): readonly ArchiveStep[] | string {
  try {
    return stepsOfTimestamp(data, stored);
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

interface JudgedToken {
  readonly claim: ClaimResult;
  readonly sha256: string;
  readonly genTimeMicros: bigint | undefined;
  readonly accuracyMicros: number;
  /** First instant at which the authority's certificate is no longer in force. */
  readonly endsMicros: bigint | undefined;
}

async function judgeToken(
  { tsa, token, crls = [] }: StoredToken,
  imprint: Uint8Array,
  view: TrustView,
  cache: VerifierCache,
): Promise<JudgedToken> {
  const bytes = fromBase64Url(token) ?? new Uint8Array(0);
  const entry = view.tsas.find((one) => one.name === tsa);
  const verify = (): Promise<TimestampVerdict> =>
    verifyTimestampToken(bytes, {
      imprint,
      roots: view.tsaRoots,
      crls: crls.map((crl) => fromBase64Url(crl) ?? new Uint8Array(0)),
      cache: cache.timestamps,
      ...(entry === undefined ? {} : { policies: entry.policies }),
    });
  const key = [tsa, toHex(imprint), token, ...crls].join(' ');
  const verdict = await (key.length > MAX_KEY_LENGTH ? verify() : view.tokens.getOrMake(key, verify));
  const notAfter = verdict.certificateNotAfter === undefined ? undefined : parseInstant(verdict.certificateNotAfter);
  return {
    claim: judgeVerdict(verdict, view, entry),
    sha256: toHex(sha256(bytes)),
    genTimeMicros: verdict.genTimeMicros === undefined ? undefined : parseInstant(verdict.genTimeMicros),
    accuracyMicros: verdict.accuracyMicros ?? 0,
    // notAfter is inclusive to the second.
    endsMicros: notAfter === undefined ? undefined : notAfter + SECOND,
  };
}

function judgeVerdict(
  verdict: TimestampVerdict,
  view: TrustView,
  entry: TrustView['tsas'][number] | undefined,
): ClaimResult {
  const at = verdict.genTimeMicros;
  const faults = verdict.failures.map(({ point, code, detail }) => `point ${point} ${code}: ${detail}`).join('; ');
  if (!verdict.ok) {
    const isOnlyRoot = verdict.failures.every((failure) => failure.code === 'CHAIN_UNTRUSTED');
    return view.source === 'own-keys' && isOnlyRoot
      ? result('unverified', 'tsa-root-not-pinned', { detail: verdict.tsaName, at })
      : result('invalid', 'token-bad', { detail: faults, at });
  }
  if (entry === undefined) return result('unverified', 'tsa-not-in-trust-file', { detail: verdict.tsaName, at });
  if (verdict.revocation !== 'good')
    return result('unverified', 'revocation-unverified', { detail: verdict.tsaName, at });
  return result('valid', entry.selfOperated ? 'token-good-self-operated' : 'token-good', {
    detail: verdict.tsaName,
    at,
  });
}
