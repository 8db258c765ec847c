/** X.509 certificates (RFC 5280 §4), read strictly: what path building and the timestamp rules need, nothing guessed. */
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../bytes.ts';
import type { VerificationCache } from './cache.ts';
import {
  constructed,
  context,
  DerFault,
  DerReader,
  openWhole,
  readAscii,
  readBitBytes,
  readBoolean,
  readNamedBits,
  readOid,
  readSmall,
  readUnsigned,
  TAG,
  type Tlv,
} from './der.ts';
import { readAlgorithm } from './hashes.ts';
import { OID } from './oids.ts';
import { readSignatureScheme, type SignatureScheme } from './signature.ts';
import { type AsnTime, readCertificateTime } from './time.ts';

/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0, nonRepudiation: 1, keyCertSign: 5, cRLSign: 6 } as const;

export interface SignedObject {
  /** What the signature covers. */
  readonly tbs: Uint8Array;
  readonly signature: Uint8Array;
  /** Undefined when the algorithm is none of ours; then nothing verifies it. */
  readonly scheme: SignatureScheme | undefined;
  /** SHA-256 of the whole DER, hex. */
  readonly fingerprint: string;
}

export interface Certificate extends SignedObject {
  readonly raw: Uint8Array;
  /** Unsigned hex. */
  readonly serial: string;
  /** DER of the Name. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: AsnTime;
  readonly notAfter: AsnTime;
  readonly spki: Uint8Array;
  readonly isCa: boolean;
  readonly pathLength: number | undefined;
  /** Undefined when the extension is absent, as for the next two. */
  readonly keyUsage: ReadonlySet<number> | undefined;
  readonly extKeyUsage: { readonly critical: boolean; readonly oids: readonly string[] } | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  /** DER of each GeneralName. */
  readonly altNames: readonly Uint8Array[];
  /** Where the issuer publishes its complete list (RFC 5280 §4.2.1.13): http and https addresses, in their order. */
  readonly crlUrls: readonly string[];
  /** Critical extensions that we do not process; such a certificate is refused. */
  readonly unknownCritical: readonly string[];
}

const MAX_CERTIFICATE = 16_384;
const PROCESSED = new Set<string>([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectAltName,
  OID.subjectKeyIdentifier,
  OID.certificatePolicies,
]);

/** Throws DerFault. The result is shared through the cache and must not be changed. */
export function readCertificate(der: Uint8Array, cache: VerificationCache): Certificate {
  if (der.length > MAX_CERTIFICATE) throw new DerFault('MALFORMED', `certificate of ${der.length} bytes`);
  const fingerprint = toHex(sha256(der));
  return cache.certificates.getOrMake(fingerprint, () => parseCertificate(new Uint8Array(der), fingerprint));
}

/** Outer SEQUENCE {tbs, algorithm, signature} of a certificate or CRL; `tbs` is opened. */
export function openSigned(
  der: Uint8Array,
  fingerprint: string,
  what: string,
): SignedObject & { readonly fields: DerReader; readonly algorithmRaw: Uint8Array } {
  const outer = openWhole(der, TAG.sequence, what);
  const tbs = outer.next(TAG.sequence);
  const algorithm = outer.next(TAG.sequence);
  const signature = readBitBytes(outer.next(TAG.bitString), `${what} signature`);
  outer.end();
  return {
    tbs: tbs.raw,
    signature,
    scheme: readSignatureScheme(readAlgorithm(algorithm, what)),
    fingerprint,
    fields: new DerReader(tbs.content, what),
    algorithmRaw: algorithm.raw,
  };
}

function parseCertificate(raw: Uint8Array, fingerprint: string): Certificate {
  const { fields, algorithmRaw, ...signed } = openSigned(raw, fingerprint, 'certificate');
  const version = fields.at(constructed(0))
    ? readSmall(fields.enter(constructed(0), 'version').next(TAG.integer), 'version')
    : 0;
  const serial = readUnsigned(fields.next(TAG.integer), 'serialNumber', 21);
  // RFC 5280 §4.1.2.3: the signed copy of the algorithm must be that of the signature.
  if (toHex(fields.next(TAG.sequence).raw) !== toHex(algorithmRaw))
    throw new DerFault('MALFORMED', 'certificate: two signature algorithms');
  const issuer = fields.next(TAG.sequence).raw;
  const validity = fields.enter(TAG.sequence, 'validity');
  const notBefore = readCertificateTime(validity.next(), 'notBefore');
  const notAfter = readCertificateTime(validity.next(), 'notAfter');
  validity.end();
  const subject = fields.next(TAG.sequence).raw;
  const spki = fields.next(TAG.sequence).raw;
  fields.optional(context(1));
  fields.optional(context(2));
  const extensions =
    version === 2 && fields.at(constructed(3))
      ? readExtensions(fields.next(constructed(3)).content, 'certificate')
      : [];
  fields.end();
  return { ...signed, raw, serial, issuer, subject, notBefore, notAfter, spki, ...readKnownExtensions(extensions) };
}

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** Extensions ::= SEQUENCE OF Extension, each at most once. */
export function readExtensions(der: Uint8Array, what: string): readonly Extension[] {
  const seen = new Set<string>();
  return openWhole(der, TAG.sequence, `${what} extensions`)
    .rest(32, TAG.sequence)
    .map((tlv) => {
      const reader = new DerReader(tlv.content, `${what} extension`);
      const oid = readOid(reader.next(TAG.oid), 'extnID');
      const critical = reader.at(TAG.boolean) && readBoolean(reader.next(TAG.boolean), 'critical');
      const value = reader.next(TAG.octetString).content;
      reader.end();
      if (seen.has(oid)) throw new DerFault('MALFORMED', `${what}: extension ${oid} twice`);
      seen.add(oid);
      return { oid, critical, value };
    });
}

type Known = Pick<
  Certificate,
  'isCa' | 'pathLength' | 'keyUsage' | 'extKeyUsage' | 'subjectKeyId' | 'altNames' | 'crlUrls' | 'unknownCritical'
>;

function readKnownExtensions(extensions: readonly Extension[]): Known {
  const find = (oid: string): Extension | undefined => extensions.find((extension) => extension.oid === oid);
  const usage = find(OID.keyUsage);
  const purposes = find(OID.extKeyUsage);
  const keyId = find(OID.subjectKeyIdentifier);
  const names = find(OID.subjectAltName);
  return {
    ...readBasicConstraints(find(OID.basicConstraints)),
    keyUsage: usage && readNamedBits(wholeOf(usage, TAG.bitString), 'keyUsage'),
    extKeyUsage: purposes && {
      critical: purposes.critical,
      oids: openWhole(purposes.value, TAG.sequence, 'extKeyUsage')
        .rest(32, TAG.oid)
        .map((tlv) => readOid(tlv, 'extKeyUsage')),
    },
    subjectKeyId: keyId && wholeOf(keyId, TAG.octetString).content,
    altNames:
      names === undefined
        ? []
        : openWhole(names.value, TAG.sequence, 'subjectAltName')
            .rest(64)
            .map((tlv) => tlv.raw),
    crlUrls: readCrlUrls(find(OID.crlDistributionPoints)),
    unknownCritical: extensions
      .filter((extension) => extension.critical && !PROCESSED.has(extension.oid))
      .map((extension) => extension.oid),
  };
}

const MAX_CRL_URLS = 8;

/** Points with reasons or an issuer of their own name lists that do not cover everything; other names cannot be fetched. */
function readCrlUrls(extension: Extension | undefined): readonly string[] {
  if (extension === undefined) return [];
  const urls: string[] = [];
  for (const tlv of openWhole(extension.value, TAG.sequence, 'cRLDistributionPoints').rest(16, TAG.sequence)) {
    const point = new DerReader(tlv.content, 'DistributionPoint');
    const name = point.optional(constructed(0));
    if (name === undefined || !point.done || name.content[0] !== constructed(0)) continue;
    for (const one of new DerReader(name.content, 'fullName').enter(constructed(0), 'fullName').rest(16)) {
      if (one.tag !== context(6) || one.content.length > 512) continue;
      const url = readAscii(one, 'distribution point');
      if (/^https?:\/\//i.test(url) && urls.length < MAX_CRL_URLS) urls.push(url);
    }
  }
  return urls;
}

function wholeOf(extension: Extension, tag: number): Tlv {
  const reader = new DerReader(extension.value, `extension ${extension.oid}`);
  const tlv = reader.next(tag);
  reader.end();
  return tlv;
}

function readBasicConstraints(extension: Extension | undefined): { isCa: boolean; pathLength: number | undefined } {
  if (extension === undefined) return { isCa: false, pathLength: undefined };
  const reader = openWhole(extension.value, TAG.sequence, 'basicConstraints');
  const isCa = reader.at(TAG.boolean) && readBoolean(reader.next(TAG.boolean), 'cA');
  const pathLength = reader.at(TAG.integer) ? readSmall(reader.next(TAG.integer), 'pathLenConstraint') : undefined;
  reader.end();
  return { isCa, pathLength };
}

/** The common name of a Name, else its first attribute, for people to read. */
export function nameText(name: Uint8Array): string {
  let first = '';
  for (const rdn of openWhole(name, TAG.sequence, 'Name').rest(32, TAG.set)) {
    for (const attribute of new DerReader(rdn.content, 'RDN').rest(8, TAG.sequence)) {
      const reader = new DerReader(attribute.content, 'attribute');
      const oid = readOid(reader.next(TAG.oid), 'attribute');
      const text = new TextDecoder().decode(reader.next().content);
      if (oid === OID.commonName) return text;
      first ||= text;
    }
  }
  return first;
}
