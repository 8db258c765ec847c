/** Signed attributes of CMS (RFC 5652 §11, EN 319 122-1 §5), read before they are signed, so that nothing is signed blindly. */
import { X509Certificate } from 'node:crypto';
import { toHex } from '../../domain/bytes.ts';
import { createVerificationCache } from '../../domain/timestamp/cache.ts';
import { readCertificate } from '../../domain/timestamp/certificate.ts';
import { compareDer, DerFault, DerReader, openWhole, readOid, readWhole, TAG } from '../../domain/timestamp/der.ts';
import { findEssMismatch } from '../../domain/timestamp/ess.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import type { KeyVersion } from './key-version.ts';
import { SignerProblem } from './problem.ts';

const DATA = '1.2.840.113549.1.7.1';
const SIGNING_TIME = '1.2.840.113549.1.9.5';
/** RFC 6211; says nothing that the signature does not. */
const ALGORITHM_PROTECTION = '1.2.840.113549.1.9.52';
const PDF_ATTRIBUTES: readonly string[] = [
  OID.contentType,
  OID.messageDigest,
  OID.signingCertificateV2,
  ALGORITHM_PROTECTION,
];
const MAX_ATTRIBUTES = 16;
const HEX_DIGEST = /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/;

const cache = createVerificationCache();

/** Whether the bytes are the signed attributes of a timestamp token: their content type says so. */
export function isTokenAttributes(value: Uint8Array): boolean {
  try {
    const contentType = readAttributes(value).get(OID.contentType);
    return (
      contentType !== undefined &&
      readOid(readWhole(contentType, TAG.oid, 'contentType'), 'contentType') === OID.tstInfo
    );
  } catch (cause) {
    if (cause instanceof DerFault) return false;
    throw cause;
  }
}

/**
 * One set of attributes for the document whose SHA-2 digest `context.docDigest` declares (lower-case hex of what
 * /ByteRange covers). Throws `blind_signing_refused` when no digest is declared or the attributes are for another
 * document, `value_refused` when they are not sorted DER, name another certificate, or state a time: that is the
 * token's to say (EN 319 142-1 table 1).
 */
export function requirePdfAttributes(
  key: KeyVersion,
  values: readonly Uint8Array[],
  { docDigest }: Readonly<Record<string, string>>,
): void {
  const [value] = values;
  if (value === undefined || values.length !== 1)
    throw new SignerProblem('value_refused', 'one document a request', { index: 1 });
  if (docDigest === undefined || !HEX_DIGEST.test(docDigest))
    throw new SignerProblem('blind_signing_refused', 'context.docDigest declares no SHA-2 digest in hex', { index: 0 });
  let digest: string;
  try {
    digest = readPdfDigest(key, value);
  } catch (cause) {
    if (!(cause instanceof DerFault)) throw cause;
    throw new SignerProblem('value_refused', `value 0: ${cause.message}`, { index: 0 });
  }
  if (digest !== docDigest)
    throw new SignerProblem('blind_signing_refused', `value 0 is for the document ${digest}, declared ${docDigest}`, {
      index: 0,
    });
}

/** The message digest in hex. Throws DerFault on attributes that no PDF signature by this key has. */
function readPdfDigest({ chain: [leaf] }: KeyVersion, value: Uint8Array): string {
  const attributes = readAttributes(value);
  if (attributes.has(SIGNING_TIME)) throw refusal('signing-time is present');
  const unknown = [...attributes.keys()].find((oid) => !PDF_ATTRIBUTES.includes(oid));
  if (unknown !== undefined) throw refusal(`attribute ${unknown} is not known`);
  const contentType = readOid(
    readWhole(requireAttribute(attributes, OID.contentType), TAG.oid, 'contentType'),
    'contentType',
  );
  if (contentType !== DATA) throw refusal(`content type ${contentType}, expected ${DATA}`);
  const ess = requireAttribute(attributes, OID.signingCertificateV2);
  if (leaf === undefined) throw refusal('the key has no certificate');
  const certificate = readCertificate(new Uint8Array(new X509Certificate(leaf).raw), cache);
  const mismatch = findEssMismatch(ess, 2, certificate);
  if (mismatch !== undefined) throw refusal(`ESSCertIDv2: ${mismatch}`);
  return toHex(readWhole(requireAttribute(attributes, OID.messageDigest), TAG.octetString, 'messageDigest').content);
}

/** Attribute values by type: a sorted DER SET, each type once, one value each. */
function readAttributes(value: Uint8Array): Map<string, Uint8Array> {
  const found = openWhole(value, TAG.set, 'signed attributes').rest(MAX_ATTRIBUTES, TAG.sequence);
  const out = new Map<string, Uint8Array>();
  found.forEach(({ raw, content }, i) => {
    const before = found[i - 1];
    if (before !== undefined && compareDer(before.raw, raw) >= 0) throw refusal('the attributes are not sorted');
    const reader = new DerReader(content, 'attribute');
    const oid = readOid(reader.next(TAG.oid), 'attribute');
    const values = reader.enter(TAG.set, 'attribute values');
    reader.end();
    const only = values.next();
    values.end();
    if (out.has(oid)) throw refusal(`attribute ${oid} stands twice`);
    out.set(oid, only.raw);
  });
  return out;
}

function requireAttribute(attributes: ReadonlyMap<string, Uint8Array>, oid: string): Uint8Array {
  const value = attributes.get(oid);
  if (value === undefined) throw refusal(`attribute ${oid} is missing`);
  return value;
}

const refusal = (detail: string): DerFault => new DerFault('MALFORMED', detail);
