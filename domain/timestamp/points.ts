/**
 * The thirteen points by which a timestamp is judged, each a function that returns its failures. Point 12, strict DER to
 * the last byte, is `attempt`: whatever reads bytes runs in it. One file, since it is one list.
 */
import { equalBytes, toHex } from '../bytes.ts';
import type { VerificationCache } from './cache.ts';
import { type Certificate, KEY_USAGE, nameText } from './certificate.ts';
import { buildPath, type ChainCode, checkRevocation } from './chain.ts';
import type { Crl } from './crl.ts';
import { constructed, DerFault, readOid, TAG } from './der.ts';
import { findEssMismatch } from './ess.ts';
import { HASHES, hashOfLength } from './hashes.ts';
import { OID } from './oids.ts';
import { isSignedBy, readSignatureScheme } from './signature.ts';
import type { SignerInfo, TimestampToken, TstInfo } from './token.ts';

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

/** Point 1: granted, or granted with modifications (all that could be modified is checked below). */
export function checkStatus(
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
export function checkContent(token: TimestampToken): TimestampFailure[] {
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
  const digests = token.digestAlgorithms.map((algorithm) => algorithm.hash);
  // RFC 5652 §5.1 lets a verifier demand this; no signature covers the list.
  if (digests.includes(undefined) || !digests.includes(signer?.digestAlgorithm.hash))
    failures.push(
      fail(2, 'CONTENT_NOT_TSTINFO', `digestAlgorithms ${token.digestAlgorithms.map(({ oid }) => oid).join(', ')}`),
    );
  return failures;
}

export function checkExtensions(tst: TstInfo): TimestampFailure[] {
  return tst.criticalExtensions.length === 0
    ? []
    : [fail(2, 'TST_EXTENSION_CRITICAL', tst.criticalExtensions.join(', '))];
}

/** Point 3: algorithm and value. */
export function checkImprint(tst: TstInfo, imprint: Uint8Array): TimestampFailure[] {
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
export function checkNonce(tst: TstInfo, nonce: Uint8Array): TimestampFailure[] {
  if (tst.nonce === undefined) return [fail(4, 'NONCE_ABSENT', 'the token has no nonce')];
  const strip = (hex: string): string => hex.replace(/^(?:00)+(?=..)/, '');
  return strip(tst.nonce) === strip(toHex(nonce)) ? [] : [fail(4, 'NONCE_MISMATCH', 'the nonce is not the one sent')];
}

/** Point 5: on the allow-list. */
export function checkPolicy(tst: TstInfo, policies: readonly string[] | undefined): TimestampFailure[] {
  return policies === undefined || policies.includes(tst.policy)
    ? []
    : [fail(5, 'POLICY_NOT_ALLOWED', `${tst.policy}, allowed ${policies.join(', ')}`)];
}

/**
 * Point 6: contentType and messageDigest once each, and the signature over the received SET bytes. `contentOid` is the
 * type that the content must have.
 */
export async function checkSignature(
  signer: SignerInfo,
  eContent: Uint8Array,
  leaf: Certificate,
  cache: VerificationCache,
  contentOid: string = OID.tstInfo,
): Promise<TimestampFailure[]> {
  const { digestAlgorithm, signedBytes } = signer;
  if (signedBytes === undefined) return [fail(6, 'ATTRIBUTES_INVALID', 'no signed attributes')];
  const oids = signer.attributes.map((attribute) => attribute.oid);
  if (new Set(oids).size !== oids.length) return [fail(6, 'ATTRIBUTES_INVALID', 'an attribute stands twice')];
  if (!signer.isSorted) return [fail(6, 'ATTRIBUTES_INVALID', 'the attributes are not in DER order')];
  const failures: TimestampFailure[] = [];
  const contentType = onlyValue(signer, OID.contentType, TAG.oid);
  if (contentType === undefined || safeOid(contentType) !== contentOid)
    failures.push(fail(6, 'CONTENT_TYPE_MISMATCH', `contentType attribute is not ${contentOid}`));
  const hash = digestAlgorithm.hash;
  const scheme = hash && attempt(() => readSignatureScheme(signer.signatureAlgorithm, hash));
  if (hash === undefined || !scheme?.ok || scheme.value === undefined)
    return [
      ...failures,
      fail(6, 'ALGORITHM_NOT_ALLOWED', `${signer.signatureAlgorithm.oid} with ${digestAlgorithm.oid}`),
    ];
  const digest = onlyValue(signer, OID.messageDigest, TAG.octetString);
  if (digest === undefined || !equalBytes(digest.content, HASHES[hash].hash(eContent)))
    failures.push(fail(6, 'MESSAGE_DIGEST_MISMATCH', 'messageDigest attribute is not the digest of the content'));
  const isValid = await isSignedBy(leaf.spki, scheme.value, signer.signature, signedBytes, cache).catch(() => false);
  if (!isValid) failures.push(fail(6, 'SIGNATURE_INVALID', `not signed by ${readable(leaf)}`));
  return failures;
}

/** Point 7: the first entry of every SigningCertificate attribute is the signer's certificate, and TSTInfo's name one of its names. */
export function checkSigningCertificate(signer: SignerInfo, tst: TstInfo, leaf: Certificate): TimestampFailure[] {
  const failures = checkNamedCertificate(signer, leaf);
  const { tsa } = tst;
  if (tsa !== undefined) {
    const isSubject = tsa[0] === constructed(4) && endsWith(tsa, leaf.subject);
    if (!isSubject && !leaf.altNames.some((name) => equalBytes(name, tsa)))
      failures.push(fail(7, 'TSA_NAME_MISMATCH', 'tsa is no name of the certificate'));
  }
  return failures;
}

/** The part of point 7 that every CMS signature of ours has: ESSCertID or ESSCertIDv2 of the signer's certificate. */
export function checkNamedCertificate(signer: SignerInfo, leaf: Certificate): TimestampFailure[] {
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
  return failures;
}

/** Point 8: extended key usage critical and exactly id-kp-timeStamping (RFC 3161 §2.3); unknown purposes count. */
export function checkPurpose(leaf: Certificate): TimestampFailure[] {
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
export function checkKeyUsage(leaf: Certificate): TimestampFailure[] {
  const bits = [...(leaf.keyUsage ?? [])];
  const isAllowed =
    bits.length > 0 && bits.every((bit) => bit === KEY_USAGE.digitalSignature || bit === KEY_USAGE.nonRepudiation);
  return isAllowed
    ? []
    : [fail(9, 'KEY_USAGE_NOT_ALLOWED', leaf.keyUsage === undefined ? 'no keyUsage' : `bits ${bits.join(', ')}`)];
}

export interface Judgement {
  /** `unverified`: no revocation data in force was at hand; `revoked` always comes with a failure. */
  readonly revocation: 'good' | 'unverified' | 'revoked';
  readonly failures: readonly TimestampFailure[];
  /** DER from the signer's certificate to the root, where there is a path. */
  readonly chain?: readonly Uint8Array[];
}

export interface RevocationRules {
  /** When a CRL must still be in force; undefined: at genTime. */
  readonly freshAtMicros: bigint | undefined;
  readonly requireRevocation: boolean;
}

/** Point 10: a path to a root at genTime, and no certificate of it revoked. */
export async function checkChain(
  leaf: Certificate,
  pool: readonly Certificate[],
  roots: readonly Certificate[],
  crls: readonly Crl[],
  tst: TstInfo,
  rules: RevocationRules,
  cache: VerificationCache,
): Promise<Judgement> {
  const at = tst.genTime.epochMicros;
  const found = await buildPath(leaf, pool, roots, at, cache);
  if ('code' in found) return { revocation: 'unverified', failures: [fail(10, found.code, found.detail)] };
  const revocation = await checkRevocation(found.path, crls, at, rules.freshAtMicros ?? at, cache);
  const chain = found.path.map(({ raw }) => raw);
  if (revocation.verdict === 'revoked')
    return { revocation: 'revoked', failures: [fail(10, 'CERTIFICATE_REVOKED', revocation.detail)], chain };
  if (revocation.verdict === 'unverified' && rules.requireRevocation)
    return { revocation: 'unverified', failures: [fail(10, revocation.code, revocation.detail)], chain };
  return { revocation: revocation.verdict, failures: [], chain };
}

/** Point 11: genTime within our clock ± (accuracy + allowed drift). A claimed accuracy beyond a minute buys nothing. */
export function checkClock(tst: TstInfo, nowMicros: bigint, maxDriftMs: number): TimestampFailure[] {
  const drift = Number(tst.genTime.epochMicros - nowMicros) / 1000;
  const allowed = maxDriftMs + Math.min(tst.accuracyMicros ?? 0, 60_000_000) / 1000;
  return Math.abs(drift) <= allowed
    ? []
    : [fail(11, 'CLOCK_DRIFT', `genTime is ${Math.round(drift)} ms from our clock, allowed ${Math.round(allowed)} ms`)];
}

/** Point 13: an authority never uses a serial twice (RFC 3161 §2.4.2). Last, since it asks the store. */
export async function checkSerial(
  serial: string,
  isSerialUnused: (serial: string) => Promise<boolean>,
): Promise<TimestampFailure[]> {
  return (await isSerialUnused(serial)) ? [] : [fail(13, 'SERIAL_REUSED', `serial ${serial} was seen before`)];
}

/** Point 12: whatever reads bytes runs in here; what is not strict DER to its last byte becomes a failure. */
export function attempt<Value>(
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

export const fail = (point: TimestampPoint, code: TimestampFailureCode, detail: string): TimestampFailure => ({
  point,
  code,
  detail,
});
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

export function readable(leaf: Certificate): string {
  const read = attempt(() => nameText(leaf.subject));
  return read.ok ? read.value : '';
}
