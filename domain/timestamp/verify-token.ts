/**
 * Verification of timestamps, ours and fail-closed. All that can be judged is judged, so that an operator sees every
 * fault; one failure is enough to refuse. The points (`points.ts`):
 *  1 status · 2 one signer over a TSTInfo · 3 imprint · 4 nonce · 5 policy · 6 signature over the received attributes ·
 *  7 signing certificate named · 8 purpose · 9 key usage · 10 chain and revocation · 11 clock · 12 strict DER · 13 serial.
 */
import { equalBytes } from '../bytes.ts';
import { toMicros } from '../clock.ts';
import { createVerificationCache, type VerificationCache } from './cache.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { type Crl, readCrl } from './crl.ts';
import { readPem } from './pem.ts';
import {
  attempt,
  checkChain,
  checkClock,
  checkContent,
  checkExtensions,
  checkImprint,
  checkKeyUsage,
  checkNonce,
  checkPolicy,
  checkPurpose,
  checkSerial,
  checkSignature,
  checkSigningCertificate,
  checkStatus,
  fail,
  type Judgement,
  type RevocationRules,
  readable,
  type TimestampFailure,
} from './points.ts';
import { readTimestampResponse, readTimestampToken, readTstInfo, type SignerInfo, type TstInfo } from './token.ts';

export type { TimestampFailure, TimestampFailureCode, TimestampPoint } from './points.ts';

/** What a token says. Believe it only under `ok: true`. */
export interface TimestampFacts {
  /** RFC 3339 UTC with six fraction digits, finer ones cut off. */
  readonly genTimeMicros: string;
  /** GeneralizedTime as it stands in the token. */
  readonly genTime: string;
  /** Hex without leading zero bytes. */
  readonly serial: string;
  readonly policy: string;
  /** Common name of the signer's certificate. */
  readonly tsaName: string;
  /** Undefined means unknown, never zero. */
  readonly accuracyMicros: number | undefined;
  /** End of validity of the signer's certificate, RFC 3339: past it, only a later timestamp protects the token. */
  readonly certificateNotAfter: string;
}

export type TimestampVerdict =
  | ({ readonly ok: true } & TimestampFacts & Judgement)
  | ({ readonly ok: false } & Partial<TimestampFacts> & Judgement);
/** `token` is the DER to keep. */
export type ResponseVerdict = TimestampVerdict & { readonly token?: Uint8Array };

export interface TokenTrust {
  /** The digest that was stamped; 32, 48 or 64 bytes say SHA-256, SHA-384 or SHA-512. */
  readonly imprint: Uint8Array;
  /** Trusted roots, PEM (one or more certificates each) or DER. */
  readonly roots: readonly (string | Uint8Array)[];
  /** Revocation lists, PEM or DER. */
  readonly crls?: readonly (string | Uint8Array)[];
  /** Intermediates beside those in the token, DER. */
  readonly certificates?: readonly Uint8Array[];
  /** Default: one cache per process. */
  readonly cache?: VerificationCache;
}

export interface BundleTrust extends TokenTrust {
  /** Allowed policies; left out, any policy passes and is reported. */
  readonly policies?: readonly string[];
}

export interface AcceptanceTrust extends TokenTrust {
  /** The eight bytes that were sent. */
  readonly nonce: Uint8Array;
  readonly policies: readonly string[];
  /** Our clock, milliseconds since the epoch. */
  readonly nowMs: number;
  /** Allowed difference between genTime and our clock beyond the stated accuracy (of which at most 60 s count). Default 60 s. */
  readonly maxDriftMs?: number;
  /** Refuse when no CRL in force covers the chain. Default: only when `crls` holds any. */
  readonly requireRevocation?: boolean;
  /** Whether this authority's serial was never stored. Its rejection passes through. */
  readonly isSerialUnused: (serial: string) => Promise<boolean>;
}

const sharedCache = createVerificationCache();

/** A whole reply judged at acceptance: all thirteen points, revocation in force now. Never throws on any bytes. */
export async function verifyTimestampResponse(response: Uint8Array, trust: AcceptanceTrust): Promise<ResponseVerdict> {
  const read = attempt(() => readTimestampResponse(response));
  if (!read.ok) return refused(read.failures);
  const { status, failInfo, token } = read.value;
  const early = checkStatus(status, failInfo, token);
  if (early.length > 0 || token === undefined) return refused(early);
  const nowMicros = BigInt(Math.trunc(trust.nowMs)) * 1000n;
  const requireRevocation = trust.requireRevocation ?? (trust.crls ?? []).length > 0;
  const verdict = await judge(
    token,
    trust,
    { policies: trust.policies, freshAtMicros: nowMicros, requireRevocation },
    (tst) => [...checkNonce(tst, trust.nonce), ...checkClock(tst, nowMicros, trust.maxDriftMs ?? 60_000)],
  );
  if (!verdict.ok) return { ...verdict, token };
  const reused = await checkSerial(verdict.serial, trust.isSerialUnused);
  if (reused.length > 0) return { ...verdict, ok: false, failures: reused, token };
  return { ...verdict, token };
}

/** A token out of a bundle: points 2, 3, 5–10 and 12 at genTime. Never throws on any bytes. */
export async function verifyTimestampToken(token: Uint8Array, trust: BundleTrust): Promise<TimestampVerdict> {
  return judge(
    token,
    trust,
    { policies: trust.policies, freshAtMicros: undefined, requireRevocation: false },
    () => [],
  );
}

interface Rules extends RevocationRules {
  readonly policies: readonly string[] | undefined;
}

async function judge(
  bytes: Uint8Array,
  trust: TokenTrust,
  rules: Rules,
  more: (tst: TstInfo) => TimestampFailure[],
): Promise<TimestampVerdict> {
  const cache = trust.cache ?? sharedCache;
  const read = attempt(() => {
    const token = readTimestampToken(bytes);
    return { token, certificates: token.certificates.map((der) => readCertificate(der, cache)) };
  });
  if (!read.ok) return refused(read.failures);
  const { token, certificates } = read.value;
  const shape = checkContent(token);
  const [signer] = token.signers;
  if (shape.length > 0 || signer === undefined || token.eContent === undefined) return refused(shape);
  const eContent = token.eContent;
  const inner = attempt(() => readTstInfo(eContent));
  if (!inner.ok) return refused(inner.failures);
  const tst = inner.value;
  const anchors = attempt(() => readTrust(trust, cache), 10);
  if (!anchors.ok)
    return refused(anchors.failures.map((failure) => ({ ...failure, code: 'TRUST_MALFORMED' as const })));
  const { roots, crls, extra } = anchors.value;
  const pool = [...certificates, ...extra];
  const leaf = findSigner(signer, pool);
  const failures = [
    ...checkExtensions(tst),
    ...checkImprint(tst, trust.imprint),
    ...checkPolicy(tst, rules.policies),
    ...more(tst),
  ];
  if (leaf === undefined)
    return {
      ok: false,
      revocation: 'unverified',
      failures: [...failures, fail(7, 'SIGNER_CERTIFICATE_ABSENT', 'the token does not carry it')],
    };
  failures.push(...(await checkSignature(signer, eContent, leaf, cache)));
  failures.push(...checkSigningCertificate(signer, tst, leaf), ...checkPurpose(leaf), ...checkKeyUsage(leaf));
  const chain = await checkChain(leaf, pool, roots, crls, tst, rules, cache);
  failures.push(...chain.failures);
  const facts: TimestampFacts = {
    genTimeMicros: toMicros(tst.genTime.epochMicros),
    genTime: tst.genTime.text,
    serial: tst.serial,
    policy: tst.policy,
    tsaName: readable(leaf),
    accuracyMicros: tst.accuracyMicros,
    certificateNotAfter: toMicros(leaf.notAfter.epochMicros),
  };
  failures.sort((a, b) => a.point - b.point);
  const path = chain.chain === undefined ? {} : { chain: chain.chain };
  return { ok: failures.length === 0, ...facts, revocation: chain.revocation, failures, ...path };
}

const refused = (failures: readonly TimestampFailure[]): TimestampVerdict => ({
  ok: false,
  revocation: 'unverified',
  failures,
});

function readTrust(
  trust: TokenTrust,
  cache: VerificationCache,
): { roots: Certificate[]; crls: Crl[]; extra: Certificate[] } {
  return {
    roots: trust.roots.flatMap((source) => readPem(source, cache)).map((der) => readCertificate(der, cache)),
    crls: (trust.crls ?? []).flatMap((source) => readPem(source, cache)).map((der) => readCrl(der, cache)),
    extra: (trust.certificates ?? []).map((der) => readCertificate(der, cache)),
  };
}

/** The certificate that a SignerInfo names, if it is at hand. */
export function findSigner({ sid }: SignerInfo, pool: readonly Certificate[]): Certificate | undefined {
  if ('keyId' in sid)
    return pool.find(
      (certificate) => certificate.subjectKeyId !== undefined && equalBytes(certificate.subjectKeyId, sid.keyId),
    );
  return pool.find((certificate) => certificate.serial === sid.serial && equalBytes(certificate.issuer, sid.issuer));
}
