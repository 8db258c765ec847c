/**
 * The CMS signature of a PDF (RFC 5652, ETSI EN 319 142-1 §6.3): detached, one signer, attributes in DER order that name
 * content type, digest and certificate, and no signing-time, since only a timestamp can say when.
 */
import type { VerificationCache } from '../../domain/timestamp/cache.ts';
import { type Certificate, readCertificate } from '../../domain/timestamp/certificate.ts';
import { TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { attempt, checkNamedCertificate, checkSignature } from '../../domain/timestamp/points.ts';
import { readTimestampToken, type SignerInfo } from '../../domain/timestamp/token.ts';
import { findSigner } from '../../domain/timestamp/verify-token.ts';

export interface OpenCms {
  readonly signer: SignerInfo;
  readonly leaf: Certificate;
  /** All that the CMS carries, the leaf among them. */
  readonly certificates: readonly Certificate[];
  /** DER of the timestamp over the signature; undefined without one. */
  readonly token: Uint8Array | undefined;
}

/** Reads it without believing it; a string says why it cannot be read. */
export function openCms(bytes: Uint8Array, cache: VerificationCache): OpenCms | string {
  const read = attempt(() => {
    const data = readTimestampToken(bytes);
    return { data, certificates: data.certificates.map((der) => readCertificate(der, cache)) };
  });
  if (!read.ok) return read.failures.map(({ detail }) => detail).join('; ');
  const { data, certificates } = read.value;
  const [signer] = data.signers;
  if (data.eContentType !== OID.data || data.eContent !== undefined) return 'the CMS is not detached data';
  if (data.signers.length !== 1 || signer === undefined) return `${data.signers.length} SignerInfos`;
  if (data.version !== 1 || signer.version !== ('keyId' in signer.sid ? 3 : 1))
    return `SignedData version ${data.version}, SignerInfo version ${signer.version}`;
  if (!data.digestAlgorithms.some(({ hash }) => hash !== undefined && hash === signer.digestAlgorithm.hash))
    return 'digestAlgorithms does not name the digest of the signer';
  const leaf = findSigner(signer, certificates);
  if (leaf === undefined) return "the CMS does not carry the signer's certificate";
  const stamps = signer.unsignedAttributes.filter(({ oid }) => oid === OID.signatureTimeStamp);
  const [value, ...more] = stamps.flatMap(({ values }) => values);
  if (stamps.length > 1 || more.length > 0 || (stamps.length === 1 && value?.tag !== TAG.sequence))
    return 'more than one timestamp over the signature';
  return { signer, leaf, certificates, token: value?.raw };
}

/** What is wrong with the signature over `covered`, for people; empty when nothing is. */
export async function findCmsFaults(
  { signer, leaf }: OpenCms,
  covered: Uint8Array,
  cache: VerificationCache,
): Promise<readonly string[]> {
  const failures = [
    ...(await checkSignature(signer, covered, leaf, cache, OID.data)),
    ...checkNamedCertificate(signer, leaf),
  ];
  const faults = failures.map(({ code, detail }) => `${code}: ${detail}`);
  if (signer.attributes.some(({ oid }) => oid === OID.signingTime)) faults.push('a signing-time attribute');
  return faults;
}
