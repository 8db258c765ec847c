/**
 * Verification of timestamps, ours and fail-closed: thirteen points, each a function with its own failure codes. All that
 * can be judged is judged, so that an operator sees every fault; one failure is enough to refuse. Points:
 *  1 status · 2 one signer over a TSTInfo · 3 imprint · 4 nonce · 5 policy · 6 signature over the received attributes ·
 *  7 signing certificate named · 8 purpose · 9 key usage · 10 chain and revocation · 11 clock · 12 strict DER · 13 serial.
 * A file longer than most because it is one list.
 */
import { equalBytes, toHex } from '../bytes.ts';
import { toMicros } from '../clock.ts';
import { createVerificationCache, type VerificationCache } from './cache.ts';
import { type Certificate, KEY_USAGE, nameText, readCertificate } from './certificate.ts';
import { buildPath, type ChainCode, checkRevocation } from './chain.ts';
import { type Crl, readCrl } from './crl.ts';
import { constructed, DerFault, readOid, TAG } from './der.ts';
import { findEssMismatch } from './ess.ts';
import { HASHES, hashOfLength } from './hashes.ts';
import { OID } from './oids.ts';
import { readPem } from './pem.ts';
import { isSignedBy, readSignatureScheme } from './signature.ts';
import {
  readTimestampResponse,
  readTimestampToken,
  readTstInfo,
  type SignerInfo,
  type TimestampToken,
  type TstInfo,
} from './token.ts';

export type TimestampPoint = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13;

export type TimestampFailureCode =
  | 'STATUS_NOT_GRANTED'
  | 'TOKEN_ABSENT'
  | 'CONTENT_NOT_TSTINFO'
  | 'NOT_ONE_SIGNER'
  | 'TST_EXTENSION_CRITICAL'
  | 'IMPRINT_MISMATCH'
  | 'NONCE_ABSENT'
  | 'NONCE_MISMATCH'
  | 'POLICY_NOT_ALLOWED'
  | 'ATTRIBUTES_INVALID'
  | 'CONTENT_TYPE_MISMATCH'
  | 'MESSAGE_DIGEST_MISMATCH'
  | 'ALGORITHM_NOT_ALLOWED'
  | 'SIGNATURE_INVALID'
  | 'SIGNER_CERTIFICATE_ABSENT'
  | 'SIGNING_CERTIFICATE_MISMATCH'
  | 'TSA_NAME_MISMATCH'
  | 'PURPOSE_NOT_TIMESTAMPING'
  | 'KEY_USAGE_NOT_ALLOWED'
  | ChainCode
  | 'TRUST_MALFORMED'
  | 'CERTIFICATE_REVOKED'
  | 'CRL_ABSENT'
  | 'CRL_STALE'
  | 'CLOCK_DRIFT'
  | 'MALFORMED'
  | 'TRAILING_BYTES'
  | 'SERIAL_REUSED';

export interface TimestampFailure {
  readonly point: TimestampPoint;
  readonly code: TimestampFailureCode;
  /** What was expected and what came, for a log line; never parsed. */
  readonly detail: string;
}

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

interface Judged {
  /** `unverified`: no revocation data in force was at hand; `revoked` always comes with a failure. */
  readonly revocation: 'good' | 'unverified' | 'revoked';
  readonly failures: readonly TimestampFailure[];
}

export type TimestampVerdict =
  | ({ readonly ok: true } & TimestampFacts & Judged)
  | ({ readonly ok: false } & Partial<TimestampFacts> & Judged);
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

interface Rules {
  readonly policies: readonly string[] | undefined;
  /** When a CRL must still be in force; undefined: at genTime. */
  readonly freshAtMicros: bigint | undefined;
  readonly requireRevocation: boolean;
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
  return { ok: failures.length === 0, ...facts, revocation: chain.revocation, failures };
}

/** Point 1: granted, or granted with modifications (all that could be modified is checked below). */
function checkStatus(
  status: number,
  failInfo: Uint8Array | undefined,
  token: Uint8Array | undefined,
): TimestampFailure[] {
  if (status > 1)
    return [
      fail(
        1,
        'STATUS_NOT_GRANTED',
        `PKIStatus ${status}${failInfo === undefined ? '' : `, failInfo ${toHex(failInfo)}`}`,
      ),
    ];
  return token === undefined ? [fail(1, 'TOKEN_ABSENT', `PKIStatus ${status} without a token`)] : [];
}

/** Point 2: one SignerInfo over id-ct-TSTInfo, in the versions that RFC 5652 §5.1 and §5.3 demand for it. */
function checkContent(token: TimestampToken): TimestampFailure[] {
  const failures: TimestampFailure[] = [];
  if (token.eContentType !== OID.tstInfo)
    failures.push(fail(2, 'CONTENT_NOT_TSTINFO', `eContentType ${token.eContentType}`));
  else if (token.eContent === undefined) failures.push(fail(2, 'CONTENT_NOT_TSTINFO', 'eContent is absent'));
  const [signer] = token.signers;
  if (token.signers.length !== 1 || signer === undefined)
    failures.push(fail(2, 'NOT_ONE_SIGNER', `${token.signers.length} SignerInfos`));
  else if (token.version !== 3 || signer.version !== ('keyId' in signer.sid ? 3 : 1))
    failures.push(
      fail(2, 'CONTENT_NOT_TSTINFO', `SignedData version ${token.version}, SignerInfo version ${signer.version}`),
    );
  return failures;
}

function checkExtensions(tst: TstInfo): TimestampFailure[] {
  return tst.criticalExtensions.length === 0
    ? []
    : [fail(2, 'TST_EXTENSION_CRITICAL', tst.criticalExtensions.join(', '))];
}

/** Point 3: algorithm and value. */
function checkImprint(tst: TstInfo, imprint: Uint8Array): TimestampFailure[] {
  const expected = hashOfLength(imprint.length);
  if (expected === undefined || tst.imprintAlgorithm.hash !== expected)
    return [
      fail(
        3,
        'IMPRINT_MISMATCH',
        `algorithm ${tst.imprintAlgorithm.oid}, expected ${expected ?? `none of ${imprint.length} bytes`}`,
      ),
    ];
  return equalBytes(tst.imprint, imprint)
    ? []
    : [fail(3, 'IMPRINT_MISMATCH', `${toHex(tst.imprint)}, expected ${toHex(imprint)}`)];
}

/** Point 4: present and equal (RFC 3161 §2.4.2). */
function checkNonce(tst: TstInfo, nonce: Uint8Array): TimestampFailure[] {
  if (tst.nonce === undefined) return [fail(4, 'NONCE_ABSENT', 'the token has no nonce')];
  const strip = (hex: string): string => hex.replace(/^(?:00)+(?=..)/, '');
  return strip(tst.nonce) === strip(toHex(nonce)) ? [] : [fail(4, 'NONCE_MISMATCH', 'the nonce is not the one sent')];
}

/** Point 5: on the allow-list. */
function checkPolicy(tst: TstInfo, policies: readonly string[] | undefined): TimestampFailure[] {
  return policies === undefined || policies.includes(tst.policy)
    ? []
    : [fail(5, 'POLICY_NOT_ALLOWED', `${tst.policy}, allowed ${policies.join(', ')}`)];
}

/** Point 6: contentType and messageDigest once each, and the signature over the received SET bytes. */
async function checkSignature(
  signer: SignerInfo,
  eContent: Uint8Array,
  leaf: Certificate,
  cache: VerificationCache,
): Promise<TimestampFailure[]> {
  const { digestAlgorithm, signedBytes } = signer;
  if (signedBytes === undefined) return [fail(6, 'ATTRIBUTES_INVALID', 'no signed attributes')];
  const oids = signer.attributes.map((attribute) => attribute.oid);
  if (new Set(oids).size !== oids.length) return [fail(6, 'ATTRIBUTES_INVALID', 'an attribute stands twice')];
  if (!signer.isSorted) return [fail(6, 'ATTRIBUTES_INVALID', 'the attributes are not in DER order')];
  const failures: TimestampFailure[] = [];
  const contentType = onlyValue(signer, OID.contentType, TAG.oid);
  if (contentType === undefined || safeOid(contentType) !== OID.tstInfo)
    failures.push(fail(6, 'CONTENT_TYPE_MISMATCH', 'contentType attribute is not id-ct-TSTInfo'));
  const hash = digestAlgorithm.hash;
  const scheme = hash && attempt(() => readSignatureScheme(signer.signatureAlgorithm, hash));
  if (hash === undefined || !scheme?.ok || scheme.value === undefined)
    return [
      ...failures,
      fail(6, 'ALGORITHM_NOT_ALLOWED', `${signer.signatureAlgorithm.oid} with ${digestAlgorithm.oid}`),
    ];
  const digest = onlyValue(signer, OID.messageDigest, TAG.octetString);
  if (digest === undefined || !equalBytes(digest.content, HASHES[hash].hash(eContent)))
    failures.push(fail(6, 'MESSAGE_DIGEST_MISMATCH', 'messageDigest attribute is not the digest of the TSTInfo'));
  const isValid = await isSignedBy(leaf.spki, scheme.value, signer.signature, signedBytes, cache).catch(() => false);
  if (!isValid) failures.push(fail(6, 'SIGNATURE_INVALID', `not signed by ${readable(leaf)}`));
  return failures;
}

/** Point 7: the first entry of every SigningCertificate attribute is the signer's certificate, and TSTInfo's name one of its names. */
function checkSigningCertificate(signer: SignerInfo, tst: TstInfo, leaf: Certificate): TimestampFailure[] {
  const failures: TimestampFailure[] = [];
  let named = 0;
  for (const [oid, version] of [
    [OID.signingCertificate, 1],
    [OID.signingCertificateV2, 2],
  ] as const) {
    const attribute = signer.attributes.find((one) => one.oid === oid);
    if (attribute === undefined) continue;
    named++;
    const value = onlyValue(signer, oid, TAG.sequence);
    const mismatch =
      value === undefined
        ? { ok: true as const, value: 'not one value' }
        : attempt(() => findEssMismatch(value.raw, version, leaf));
    const why = mismatch.ok ? mismatch.value : mismatch.failures[0]?.detail;
    if (why !== undefined) failures.push(fail(7, 'SIGNING_CERTIFICATE_MISMATCH', why));
  }
  if (named === 0) failures.push(fail(7, 'SIGNING_CERTIFICATE_MISMATCH', 'no SigningCertificate attribute'));
  const { tsa } = tst;
  if (tsa !== undefined) {
    const isSubject = tsa[0] === constructed(4) && endsWith(tsa, leaf.subject);
    if (!isSubject && !leaf.altNames.some((name) => equalBytes(name, tsa)))
      failures.push(fail(7, 'TSA_NAME_MISMATCH', 'tsa is no name of the certificate'));
  }
  return failures;
}

/** Point 8: extended key usage critical and exactly id-kp-timeStamping (RFC 3161 §2.3); unknown purposes count. */
function checkPurpose(leaf: Certificate): TimestampFailure[] {
  const usage = leaf.extKeyUsage;
  if (usage?.critical && usage.oids.length === 1 && usage.oids[0] === OID.timeStamping) return [];
  return [
    fail(
      8,
      'PURPOSE_NOT_TIMESTAMPING',
      usage === undefined ? 'no extKeyUsage' : `${usage.critical ? '' : 'not critical, '}${usage.oids.join(', ')}`,
    ),
  ];
}

/** Point 9: keyUsage present, with digitalSignature or nonRepudiation and nothing else. */
function checkKeyUsage(leaf: Certificate): TimestampFailure[] {
  const bits = [...(leaf.keyUsage ?? [])];
  const isAllowed =
    bits.length > 0 && bits.every((bit) => bit === KEY_USAGE.digitalSignature || bit === KEY_USAGE.nonRepudiation);
  return isAllowed
    ? []
    : [fail(9, 'KEY_USAGE_NOT_ALLOWED', leaf.keyUsage === undefined ? 'no keyUsage' : `bits ${bits.join(', ')}`)];
}

/** Point 10: a path to a root at genTime, and no certificate of it revoked. */
async function checkChain(
  leaf: Certificate,
  pool: readonly Certificate[],
  roots: readonly Certificate[],
  crls: readonly Crl[],
  tst: TstInfo,
  rules: Rules,
  cache: VerificationCache,
): Promise<Judged> {
  const at = tst.genTime.epochMicros;
  const found = await buildPath(leaf, pool, roots, at, cache);
  if ('code' in found) return { revocation: 'unverified', failures: [fail(10, found.code, found.detail)] };
  const revocation = await checkRevocation(found.path, crls, at, rules.freshAtMicros ?? at, cache);
  if (revocation.verdict === 'revoked')
    return { revocation: 'revoked', failures: [fail(10, 'CERTIFICATE_REVOKED', revocation.detail)] };
  if (revocation.verdict === 'unverified' && rules.requireRevocation)
    return { revocation: 'unverified', failures: [fail(10, revocation.code, revocation.detail)] };
  return { revocation: revocation.verdict, failures: [] };
}

/** Point 11: genTime within our clock ± (accuracy + allowed drift). A claimed accuracy beyond a minute buys nothing. */
function checkClock(tst: TstInfo, nowMicros: bigint, maxDriftMs: number): TimestampFailure[] {
  const drift = Number(tst.genTime.epochMicros - nowMicros) / 1000;
  const allowed = maxDriftMs + Math.min(tst.accuracyMicros ?? 0, 60_000_000) / 1000;
  return Math.abs(drift) <= allowed
    ? []
    : [fail(11, 'CLOCK_DRIFT', `genTime is ${Math.round(drift)} ms from our clock, allowed ${Math.round(allowed)} ms`)];
}

/** Point 13: an authority never uses a serial twice (RFC 3161 §2.4.2). Last, since it asks the store. */
async function checkSerial(
  serial: string,
  isSerialUnused: (serial: string) => Promise<boolean>,
): Promise<TimestampFailure[]> {
  return (await isSerialUnused(serial)) ? [] : [fail(13, 'SERIAL_REUSED', `serial ${serial} was seen before`)];
}

/** Point 12: whatever reads bytes runs in here; what is not strict DER to its last byte becomes a failure. */
function attempt<Value>(
  read: () => Value,
  point: TimestampPoint = 12,
):
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly failures: readonly TimestampFailure[] } {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    const code = error instanceof DerFault ? error.code : 'MALFORMED';
    return { ok: false, failures: [fail(point, code, error instanceof Error ? error.message : 'unreadable')] };
  }
}

const fail = (point: TimestampPoint, code: TimestampFailureCode, detail: string): TimestampFailure => ({
  point,
  code,
  detail,
});
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

function findSigner({ sid }: SignerInfo, pool: readonly Certificate[]): Certificate | undefined {
  if ('keyId' in sid)
    return pool.find(
      (certificate) => certificate.subjectKeyId !== undefined && equalBytes(certificate.subjectKeyId, sid.keyId),
    );
  return pool.find((certificate) => certificate.serial === sid.serial && equalBytes(certificate.issuer, sid.issuer));
}

function onlyValue(
  signer: SignerInfo,
  oid: string,
  tag: number,
): { readonly content: Uint8Array; readonly raw: Uint8Array; readonly tag: number } | undefined {
  const values = signer.attributes.find((attribute) => attribute.oid === oid)?.values;
  const [value] = values ?? [];
  return values?.length === 1 && value?.tag === tag ? value : undefined;
}

function safeOid(tlv: {
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
  readonly tag: number;
}): string | undefined {
  const read = attempt(() => readOid(tlv, 'contentType'));
  return read.ok ? read.value : undefined;
}

/** Whether a directoryName [4] EXPLICIT holds exactly this Name. */
function endsWith(generalName: Uint8Array, name: Uint8Array): boolean {
  const read = attempt(() => equalBytes(new Uint8Array(generalName.subarray(generalName.length - name.length)), name));
  const header = generalName.length - name.length;
  return header >= 2 && header <= 4 && read.ok && read.value;
}

function readable(leaf: Certificate): string {
  const read = attempt(() => nameText(leaf.subject));
  return read.ok ? read.value : '';
}
