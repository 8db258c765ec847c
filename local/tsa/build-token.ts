/** Makes a TimeStampToken byte by byte (RFC 3161 §2.4.2, RFC 5652 §5, RFC 5816): signed attributes sorted, ESSCertIDv2 first in kind. */
import { createHash, X509Certificate } from 'node:crypto';
import {
  constructed,
  context,
  DerReader,
  der,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSetOf,
  derSmall,
  derUnsigned,
  TAG,
} from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { formatGeneralizedTime } from '../../domain/timestamp/time.ts';

export type TsaSignatureAlgorithm = 'ES256' | 'ES384' | 'RS256' | 'PS256';

export interface TokenSpec {
  readonly policy: string;
  /** MessageImprint as requested, DER. */
  readonly imprintRaw: Uint8Array;
  /** Unsigned magnitude. */
  readonly serial: Uint8Array;
  readonly genTimeMicros: bigint;
  /** INTEGER as requested, DER. */
  readonly nonceRaw?: Uint8Array;
  readonly accuracyMillis: number;
  /** DER of the signer's certificate. */
  readonly certificate: Uint8Array;
  /** DER of the certificates that the token carries. */
  readonly embedded: readonly Uint8Array[];
  readonly signatureAlgorithm: TsaSignatureAlgorithm;
  /** Signature in the form of CMS: ECDSA-Sig-Value or the RSA block. */
  readonly sign: (signedAttributes: Uint8Array) => Promise<Uint8Array>;
  /** Replaces the certHash of ESSCertIDv2. */
  readonly certHash?: Uint8Array;
}

/** DER of the token. */
export async function buildToken(spec: TokenSpec): Promise<Uint8Array> {
  const { issuer, serial, subject } = namesOf(spec.certificate);
  const tstInfo = buildTstInfo(spec, subject);
  const attributes = buildAttributes(spec, tstInfo);
  const digest = spec.signatureAlgorithm === 'ES384' ? OID.sha384 : OID.sha256;
  const signature = await spec.sign(derSetOf(TAG.set, attributes));
  const signer = derSequence(
    derSmall(1),
    derSequence(issuer, serial),
    derSequence(derOid(digest), derNull()),
    derSetOf(constructed(0), attributes),
    SIGNATURE_IDENTIFIERS[spec.signatureAlgorithm],
    derOctets(signature),
  );
  const signedData = derSequence(
    derSmall(3),
    der(TAG.set, derSequence(derOid(digest), derNull())),
    derSequence(derOid(OID.tstInfo), der(constructed(0), derOctets(tstInfo))),
    ...(spec.embedded.length === 0 ? [] : [derSetOf(constructed(0), spec.embedded)]),
    der(TAG.set, signer),
  );
  return derSequence(derOid(OID.signedData), der(constructed(0), signedData));
}

function buildTstInfo(spec: TokenSpec, subject: Uint8Array): Uint8Array {
  const seconds = Math.floor(spec.accuracyMillis / 1000);
  const millis = spec.accuracyMillis % 1000;
  const accuracy = [
    ...(seconds === 0 ? [] : [derSmall(seconds)]),
    ...(millis === 0 ? [] : [der(context(0), derSmall(millis).subarray(2))]),
  ];
  const genTime = Uint8Array.from(formatGeneralizedTime(spec.genTimeMicros), (char) => char.charCodeAt(0));
  return derSequence(
    derSmall(1),
    derOid(spec.policy),
    spec.imprintRaw,
    derUnsigned(spec.serial),
    der(TAG.generalizedTime, genTime),
    ...(accuracy.length === 0 ? [] : [derSequence(...accuracy)]),
    ...(spec.nonceRaw === undefined ? [] : [spec.nonceRaw]),
    der(constructed(0), der(constructed(4), subject)),
  );
}

function buildAttributes(spec: TokenSpec, tstInfo: Uint8Array): Uint8Array[] {
  const digestName = spec.signatureAlgorithm === 'ES384' ? 'sha384' : 'sha256';
  const attribute = (oid: string, value: Uint8Array): Uint8Array => derSequence(derOid(oid), der(TAG.set, value));
  // SHA-256 is the DEFAULT of ESSCertIDv2, so DER leaves the algorithm out.
  const certHash = spec.certHash ?? createHash('sha256').update(spec.certificate).digest();
  return [
    attribute(OID.contentType, derOid(OID.tstInfo)),
    attribute(OID.messageDigest, derOctets(createHash(digestName).update(tstInfo).digest())),
    attribute(OID.signingCertificateV2, derSequence(derSequence(derSequence(derOctets(certHash))))),
  ];
}

const PSS_HASH = derSequence(derOid(OID.sha256), derNull());
const SIGNATURE_IDENTIFIERS: Record<TsaSignatureAlgorithm, Uint8Array> = {
  ES256: derSequence(derOid(OID.ecdsaSha256)),
  ES384: derSequence(derOid(OID.ecdsaSha384)),
  RS256: derSequence(derOid(OID.sha256WithRsa), derNull()),
  PS256: derSequence(
    derOid(OID.rsaPss),
    derSequence(
      der(constructed(0), PSS_HASH),
      der(constructed(1), derSequence(derOid(OID.mgf1), PSS_HASH)),
      der(constructed(2), derSmall(32)),
    ),
  ),
};

/** Issuer, serial number and subject elements of a certificate, as they stand in it. */
function namesOf(certificate: Uint8Array): { issuer: Uint8Array; serial: Uint8Array; subject: Uint8Array } {
  // Refuses what is no certificate before its parts are copied.
  const { raw } = new X509Certificate(certificate);
  const tbs = new DerReader(raw, 'certificate').enter(TAG.sequence, 'certificate').enter(TAG.sequence, 'tbs');
  tbs.optional(constructed(0));
  const serial = tbs.next(TAG.integer).raw;
  tbs.next();
  const issuer = tbs.next(TAG.sequence).raw;
  tbs.next();
  return { issuer, serial, subject: tbs.next(TAG.sequence).raw };
}
