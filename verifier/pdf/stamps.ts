/** Timestamps in a PDF: of the signature, and of the document, judged by the points of RFC 3161 verification. */
import { parseInstant } from '../../domain/time.ts';
import type { VerificationCache } from '../../domain/timestamp/cache.ts';
import { HASHES } from '../../domain/timestamp/hashes.ts';
import { attempt } from '../../domain/timestamp/points.ts';
import { readTimestampToken, readTstInfo } from '../../domain/timestamp/token.ts';
import { type TimestampVerdict, verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import type { TrustView } from '../trust-view.ts';
import { type ClaimResult, result } from '../verdict.ts';
import type { ValidationData } from './dss.ts';

const SECOND = 1_000_000n;
const MAX_ACCURACY = 60_000_000;

export interface JudgedStamp {
  readonly claim: ClaimResult;
  readonly verdict: TimestampVerdict;
  readonly genTimeMicros: bigint | undefined;
  /** Latest instant that genTime may stand for. */
  readonly latestMicros: bigint | undefined;
  /** First instant at which the authority's certificate is no longer in force. */
  readonly endsMicros: bigint | undefined;
}

/** The reasons of the two places in which a token stands. */
export interface StampReasons {
  readonly good: 'signature-stamped' | 'archive-good';
  readonly selfOperated: 'signature-stamped-self-operated' | 'archive-good-self-operated';
  readonly bad: 'signature-token-bad' | 'archive-bad';
}

export async function judgeStamp(
  token: Uint8Array,
  stamped: Uint8Array,
  data: ValidationData,
  view: TrustView,
  reasons: StampReasons,
  cache: VerificationCache,
): Promise<JudgedStamp> {
  const policies = view.tsas.flatMap((tsa) => tsa.policies);
  const verdict = await verifyTimestampToken(token, {
    imprint: HASHES[hashOf(token)].hash(stamped),
    roots: view.tsaRoots,
    crls: data.crls,
    certificates: data.certificates,
    cache,
    ...(view.source === 'pinned' ? { policies } : {}),
  });
  const genTimeMicros = verdict.genTimeMicros === undefined ? undefined : parseInstant(verdict.genTimeMicros);
  const notAfter = verdict.certificateNotAfter === undefined ? undefined : parseInstant(verdict.certificateNotAfter);
  const slack = BigInt(Math.min(verdict.accuracyMicros ?? 0, MAX_ACCURACY)) + SECOND;
  return {
    claim: judgeVerdict(verdict, view, reasons),
    verdict,
    genTimeMicros,
    latestMicros: genTimeMicros === undefined ? undefined : genTimeMicros + slack,
    // notAfter is inclusive to the second.
    endsMicros: notAfter === undefined ? undefined : notAfter + SECOND,
  };
}

/** The hash that the token names; what it cannot name is judged as SHA-256 and refused there. */
function hashOf(token: Uint8Array): keyof typeof HASHES {
  const read = attempt(() => {
    const { eContent } = readTimestampToken(token);
    return eContent === undefined ? undefined : readTstInfo(eContent).imprintAlgorithm.hash;
  });
  return (read.ok ? read.value : undefined) ?? 'SHA-256';
}

function judgeVerdict(verdict: TimestampVerdict, view: TrustView, reasons: StampReasons): ClaimResult {
  const at = verdict.genTimeMicros;
  if (!verdict.ok) {
    const isOnlyRoot = verdict.failures.every(({ code }) => code === 'CHAIN_UNTRUSTED');
    const faults = verdict.failures.map(({ point, code, detail }) => `point ${point} ${code}: ${detail}`).join('; ');
    return view.source === 'own-keys' && isOnlyRoot
      ? result('unverified', 'tsa-root-not-pinned', { detail: verdict.tsaName, at })
      : result('invalid', reasons.bad, { detail: faults, at });
  }
  if (verdict.revocation !== 'good')
    return result('unverified', 'revocation-unverified', { detail: verdict.tsaName, at });
  const entries = view.tsas.filter(({ policies }) => policies.includes(verdict.policy));
  // A PDF does not name the authority as the trust file does; one policy may be that of several.
  const isOwn = entries.length > 0 && entries.every(({ selfOperated }) => selfOperated);
  return result('valid', isOwn ? reasons.selfOperated : reasons.good, { detail: verdict.tsaName, at });
}
