/** Signed attributes for tests, good unless told. */
import { createHash } from 'node:crypto';
import { der, derOctets, derOid, derSequence, derSetOf, TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';

export const DATA = '1.2.840.113549.1.7.1';

export const attribute = (oid: string, ...values: Uint8Array[]): Uint8Array =>
  derSequence(derOid(oid), der(TAG.set, ...values));

/** What a PDF signature covers (EN 319 142-1 §6.3): content type, digest of the document, the certificate. */
export function pdfAttributes(spec: {
  readonly document: Uint8Array;
  readonly certificate: Uint8Array;
  readonly contentType?: string;
  readonly more?: readonly Uint8Array[];
}): Uint8Array {
  const hash = (bytes: Uint8Array): Uint8Array => derOctets(createHash('sha256').update(bytes).digest());
  return derSetOf(TAG.set, [
    attribute(OID.contentType, derOid(spec.contentType ?? DATA)),
    attribute(OID.messageDigest, hash(spec.document)),
    attribute(OID.signingCertificateV2, derSequence(derSequence(derSequence(hash(spec.certificate))))),
    ...(spec.more ?? []),
  ]);
}

/** The least that a timestamp token's attributes hold. */
export const tokenAttributes = (): Uint8Array => derSetOf(TAG.set, [attribute(OID.contentType, derOid(OID.tstInfo))]);
