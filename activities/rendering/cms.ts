/**
 * The CMS signature of a PDF (RFC 5652, CAdES as in ETSI EN 319 142-1): detached, three signed attributes in the order
 * of DER, no signing-time (its place is /M), the timestamp as an unsigned attribute.
 */
import { createHash } from 'node:crypto';
import {
  constructed,
  DerReader,
  der,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSetOf,
  derSmall,
  TAG,
} from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';

/** ECDSA on P-256, RSA PKCS #1 v1.5 and RSA-PSS (MGF1, salt of 32 bytes), all with SHA-256. */
export type PdfSignatureAlg = 'ES256' | 'RS256' | 'PS256';

const DATA = '1.2.840.113549.1.7.1';
const SIGNATURE_TIME_STAMP = '1.2.840.113549.1.9.16.2.14';
const SHA256 = derSequence(derOid(OID.sha256));
const SHA256_WITH_NULL = derSequence(derOid(OID.sha256), derNull());

const SIGNATURE_IDENTIFIERS: Readonly<Record<PdfSignatureAlg, Uint8Array>> = {
  ES256: derSequence(derOid(OID.ecdsaSha256)),
  RS256: derSequence(derOid(OID.sha256WithRsa), derNull()),
  PS256: derSequence(
    derOid(OID.rsaPss),
    derSequence(
      der(constructed(0), SHA256_WITH_NULL),
      der(constructed(1), derSequence(derOid(OID.mgf1), SHA256_WITH_NULL)),
      der(constructed(2), derSmall(32)),
    ),
  ),
};

/** DER of the SET OF attributes, tag 0x31: the very bytes to sign. `digest`: SHA-256 of the document's byte range. */
export function signedAttributes(digest: Uint8Array, certificate: Uint8Array): Uint8Array {
  return derSetOf(TAG.set, [
    attribute(OID.contentType, derOid(DATA)),
    attribute(OID.messageDigest, derOctets(digest)),
    // ESSCertIDv2 (RFC 5035): SHA-256 is the DEFAULT, so DER leaves the algorithm out.
    attribute(OID.signingCertificateV2, derSequence(derSequence(derSequence(derOctets(sha256(certificate)))))),
  ]);
}

export interface CmsParts {
  /** What `signedAttributes` gave. */
  readonly attributes: Uint8Array;
  /** In the form of CMS: ECDSA-Sig-Value, or the RSA block. */
  readonly signature: Uint8Array;
  readonly alg: PdfSignatureAlg;
  /** DER, the signer's first. */
  readonly chain: readonly Uint8Array[];
  /** DER of the RFC 3161 token over SHA-256 of the signature. */
  readonly token?: Uint8Array;
}

/** DER of ContentInfo around SignedData. */
export function buildCms({ attributes, signature, alg, chain, token }: CmsParts): Uint8Array {
  const [certificate] = chain;
  if (certificate === undefined) throw new Error('CMS: no certificate');
  const signed = Uint8Array.from(attributes);
  // IMPLICIT [0] in the SignerInfo, SET in what is signed (RFC 5652 §5.4).
  signed[0] = constructed(0);
  const signer = derSequence(
    derSmall(1),
    issuerAndSerial(certificate),
    SHA256,
    signed,
    SIGNATURE_IDENTIFIERS[alg],
    derOctets(signature),
    ...(token === undefined ? [] : [derSetOf(constructed(1), [attribute(SIGNATURE_TIME_STAMP, token)])]),
  );
  const signedData = derSequence(
    derSmall(1),
    der(TAG.set, SHA256),
    derSequence(derOid(DATA)),
    derSetOf(constructed(0), chain),
    der(TAG.set, signer),
  );
  return derSequence(derOid(OID.signedData), der(constructed(0), signedData));
}

/** Bytes of the longest CMS that this chain and algorithm give, beside its timestamp. */
export function cmsBytesBesideToken(chain: readonly Uint8Array[], alg: PdfSignatureAlg): number {
  const attributes = signedAttributes(new Uint8Array(32), chain[0] ?? new Uint8Array(0));
  // RSA keys up to 4096 bits; an ECDSA-Sig-Value over P-256 has at most 72 bytes.
  const signature = new Uint8Array(alg === 'ES256' ? 72 : 512);
  // The attribute around a token: its identifier and three headers of at most four bytes.
  return buildCms({ attributes, signature, alg, chain }).length + 32;
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return derSequence(derOid(oid), der(TAG.set, value));
}

function issuerAndSerial(certificate: Uint8Array): Uint8Array {
  const tbs = new DerReader(certificate, 'certificate').enter(TAG.sequence, 'certificate').enter(TAG.sequence, 'tbs');
  tbs.optional(constructed(0));
  const serial = tbs.next(TAG.integer).raw;
  tbs.next(TAG.sequence);
  return derSequence(tbs.next(TAG.sequence).raw, serial);
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
