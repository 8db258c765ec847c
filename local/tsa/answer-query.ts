/** One TimeStampReq in, one TimeStampResp out (RFC 3161 §2.4), with the fault in force applied. */
import type { Clock } from '../../domain/clock.ts';
import { parseInstant } from '../../domain/time.ts';
import { derUnsigned } from '../../domain/timestamp/der.ts';
import { hashOfLength } from '../../domain/timestamp/hashes.ts';
import {
  buildTimestampResponse,
  messageImprint,
  type ReadTimestampRequest,
  readTimestampRequest,
} from '../../domain/timestamp/request.ts';
import { buildToken, type TsaSignatureAlgorithm } from './build-token.ts';
import type { TsaFault, TsaFaultKind } from './faults.ts';

/** A certificate over the authority's key, and those above it that a token carries, all DER. */
export interface TsaIdentity {
  readonly certificate: Uint8Array;
  readonly chain: readonly Uint8Array[];
}

export interface TsaAuthority extends TsaIdentity {
  readonly sign: (signedAttributes: Uint8Array) => Promise<Uint8Array>;
  readonly signatureAlgorithm: TsaSignatureAlgorithm;
  readonly policy: string;
  readonly clock: Clock;
  /** Cryptographically random bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Stated accuracy of the clock in milliseconds; default 1,000. */
  readonly accuracyMillis?: number;
  /** Certificates for the faults of these names. */
  readonly alternates?: Partial<Record<AlternateFault, TsaIdentity>>;
}

type AlternateFault = 'eku-missing' | 'eku-extra' | 'eku-not-critical' | 'untrusted-chain';

/** Whether a fault consists in another certificate over the same key. */
export function needsAlternate(kind: TsaFaultKind): kind is AlternateFault {
  return kind === 'eku-missing' || kind === 'eku-extra' || kind === 'eku-not-critical' || kind === 'untrusted-chain';
}

/** PKIFailureInfo bits (RFC 3161 §2.4.2). */
const FAIL = {
  badAlg: 0,
  badRequest: 2,
  badDataFormat: 5,
  unacceptedPolicy: 15,
  unacceptedExtension: 16,
  systemFailure: 25,
} as const;
const OTHER_POLICY = '1.3.6.1.4.1.99999.9.9';

/** Never throws on a hostile query: it is rejected with a status. */
export async function answerQuery(
  authority: TsaAuthority,
  query: Uint8Array,
  fault: TsaFault | undefined,
  serial: Uint8Array,
): Promise<Uint8Array> {
  let request: ReadTimestampRequest;
  try {
    request = readTimestampRequest(query);
  } catch {
    return buildTimestampResponse(2, undefined, FAIL.badDataFormat);
  }
  if (fault?.kind === 'status-2') return buildTimestampResponse(2, undefined, FAIL.systemFailure);
  if (request.hash === undefined) return buildTimestampResponse(2, undefined, FAIL.badAlg);
  if (hashOfLength(request.imprint.length) !== request.hash)
    return buildTimestampResponse(2, undefined, FAIL.badDataFormat);
  if (request.hasExtensions) return buildTimestampResponse(2, undefined, FAIL.unacceptedExtension);
  if (request.policy !== undefined && request.policy !== authority.policy)
    return buildTimestampResponse(2, undefined, FAIL.unacceptedPolicy);
  const token = await stamp(authority, request, fault, serial);
  const whole = fault?.kind === 'truncated-token' ? token.subarray(0, token.length - 7) : token;
  const response = buildTimestampResponse(0, whole);
  if (fault?.kind === 'truncated') return response.subarray(0, response.length - 7);
  return fault?.kind === 'trailing-bytes' ? Uint8Array.from([...response, 0, 0]) : response;
}

async function stamp(
  authority: TsaAuthority,
  request: ReadTimestampRequest,
  fault: TsaFault | undefined,
  serial: Uint8Array,
): Promise<Uint8Array> {
  const kind = fault?.kind;
  const identity = kind !== undefined && needsAlternate(kind) ? authority.alternates?.[kind] : authority;
  if (identity === undefined) throw new Error(`no certificate for the fault ${kind}`);
  const skewMicros = kind === 'clock-skew' ? BigInt(fault?.skewMs ?? -300_000) * 1000n : 0n;
  const nonceRaw =
    kind === 'no-nonce' ? undefined : kind === 'wrong-nonce' ? derUnsigned(authority.random(8)) : request.nonceRaw;
  const imprintRaw =
    kind === 'wrong-imprint' && request.hash !== undefined
      ? messageImprint(request.hash, authority.random(request.imprint.length))
      : request.imprintRaw;
  return buildToken({
    policy: kind === 'wrong-policy' ? OTHER_POLICY : authority.policy,
    imprintRaw,
    serial,
    genTimeMicros: (parseInstant(authority.clock.nowMicros()) ?? 0n) + skewMicros,
    ...(nonceRaw === undefined ? {} : { nonceRaw }),
    accuracyMillis: authority.accuracyMillis ?? 1000,
    certificate: identity.certificate,
    embedded: request.certReq && kind !== 'no-certificates' ? [identity.certificate, ...identity.chain] : [],
    signatureAlgorithm: authority.signatureAlgorithm,
    sign: kind === 'wrong-signature' ? (bytes) => authority.sign(Uint8Array.from([...bytes, 0])) : authority.sign,
    ...(kind === 'wrong-ess' ? { certHash: authority.random(32) } : {}),
  });
}
