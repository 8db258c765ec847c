/**
 * TimeStampResp and TimeStampToken, read strictly (RFC 3161 §2.4.2, RFC 5652 §5): every structure to its end, DER
 * throughout, bounds on every list. Reading judges nothing; `verify-token.ts` does. Tokens in BER are refused as malformed.
 */
import {
  compareDer,
  constructed,
  context,
  DerFault,
  DerReader,
  openWhole,
  readBoolean,
  readOid,
  readSmall,
  readUnsigned,
  readWhole,
  TAG,
  type Tlv,
} from './der.ts';
import { type Algorithm, readAlgorithm } from './hashes.ts';
import { OID } from './oids.ts';
import { type AsnTime, readGeneralizedTime } from './time.ts';

/** Longest reply that is read, in bytes. */
export const MAX_TIMESTAMP_RESPONSE = 65_536;

export interface TimestampResponse {
  /** PKIStatus: 0 granted, 1 granted with modifications, 2 and above refusals. */
  readonly status: number;
  /** PKIFailureInfo, the unused-bits byte first. */
  readonly failInfo: Uint8Array | undefined;
  /** DER of the TimeStampToken. */
  readonly token: Uint8Array | undefined;
}

/** Throws DerFault. */
export function readTimestampResponse(bytes: Uint8Array): TimestampResponse {
  refuseLong(bytes);
  const reader = openWhole(bytes, TAG.sequence, 'TimeStampResp');
  const info = reader.enter(TAG.sequence, 'PKIStatusInfo');
  const status = readSmall(info.next(TAG.integer), 'status');
  info.optional(TAG.sequence);
  const failInfo = info.optional(TAG.bitString)?.content;
  info.end();
  const token = reader.optional(TAG.sequence)?.raw;
  reader.end();
  return { status, failInfo, token };
}

/** The CMS SignedData around a TSTInfo. */
export interface TimestampToken {
  readonly version: number;
  readonly digestAlgorithms: readonly Algorithm[];
  readonly eContentType: string;
  readonly eContent: Uint8Array | undefined;
  /** DER of each certificate. */
  readonly certificates: readonly Uint8Array[];
  readonly signers: readonly SignerInfo[];
}

export interface SignerInfo {
  readonly version: number;
  /** Either issuer Name and serial, or a subject key identifier. */
  readonly sid: { readonly issuer: Uint8Array; readonly serial: string } | { readonly keyId: Uint8Array };
  readonly digestAlgorithm: Algorithm;
  /** What the signature covers: the received attributes under the tag SET OF (RFC 5652 §5.4). Undefined without attributes. */
  readonly signedBytes: Uint8Array | undefined;
  /** Whether the attributes stand in DER order. */
  readonly isSorted: boolean;
  readonly attributes: readonly Attribute[];
  /** Under no signature: a signature's own timestamp stands here. */
  readonly unsignedAttributes: readonly Attribute[];
  readonly signatureAlgorithm: Algorithm;
  readonly signature: Uint8Array;
}

export interface Attribute {
  readonly oid: string;
  readonly values: readonly Tlv[];
}

/** Throws DerFault, also when the outer content is not SignedData. */
export function readTimestampToken(bytes: Uint8Array): TimestampToken {
  refuseLong(bytes);
  const outer = openWhole(bytes, TAG.sequence, 'ContentInfo');
  const type = readOid(outer.next(TAG.oid), 'contentType');
  if (type !== OID.signedData) throw new DerFault('MALFORMED', `ContentInfo: ${type} is not SignedData`);
  const explicit = outer.enter(constructed(0), 'ContentInfo content');
  outer.end();
  const data = explicit.enter(TAG.sequence, 'SignedData');
  explicit.end();
  const version = readSmall(data.next(TAG.integer), 'SignedData version');
  const digestAlgorithms = data
    .enter(TAG.set, 'digestAlgorithms')
    .rest(8, TAG.sequence)
    .map((tlv) => readAlgorithm(tlv, 'digestAlgorithms'));
  const content = data.enter(TAG.sequence, 'encapContentInfo');
  const eContentType = readOid(content.next(TAG.oid), 'eContentType');
  const eContent = content.done
    ? undefined
    : readWhole(content.next(constructed(0)).content, TAG.octetString, 'eContent').content;
  content.end();
  const certificates = data.at(constructed(0)) ? data.enter(constructed(0), 'certificates').rest(16, TAG.sequence) : [];
  data.optional(constructed(1));
  const signers = data.enter(TAG.set, 'signerInfos').rest(8, TAG.sequence);
  data.end();
  return {
    version,
    digestAlgorithms,
    eContentType,
    eContent,
    certificates: certificates.map((tlv) => tlv.raw),
    signers: signers.map(readSignerInfo),
  };
}

function readSignerInfo(tlv: Tlv): SignerInfo {
  const reader = new DerReader(tlv.content, 'SignerInfo');
  const version = readSmall(reader.next(TAG.integer), 'SignerInfo version');
  const sid = reader.at(context(0))
    ? { keyId: reader.next(context(0)).content }
    : readIssuerAndSerial(reader.next(TAG.sequence));
  const digestAlgorithm = readAlgorithm(reader.next(TAG.sequence), 'digestAlgorithm');
  const signed = reader.optional(constructed(0));
  const signatureAlgorithm = readAlgorithm(reader.next(TAG.sequence), 'signatureAlgorithm');
  const signature = reader.next(TAG.octetString).content;
  const unsigned = reader.optional(constructed(1));
  reader.end();
  const unsignedAttributes = unsigned === undefined ? [] : readAttributes(unsigned.content, 'unsignedAttrs');
  const attributes = signed === undefined ? [] : readAttributes(signed.content, 'signedAttrs');
  return {
    version,
    sid,
    digestAlgorithm,
    signedBytes: signed && Uint8Array.from(signed.raw, (byte, i) => (i === 0 ? TAG.set : byte)),
    isSorted: attributes.every(
      (one, i) => i === 0 || compareDer((attributes[i - 1] as { raw: Uint8Array }).raw, one.raw) < 0,
    ),
    attributes,
    unsignedAttributes,
    signatureAlgorithm,
    signature,
  };
}

function readIssuerAndSerial(tlv: Tlv): { issuer: Uint8Array; serial: string } {
  const reader = new DerReader(tlv.content, 'issuerAndSerialNumber');
  const issuer = reader.next(TAG.sequence).raw;
  const serial = readUnsigned(reader.next(TAG.integer), 'serialNumber', 21);
  reader.end();
  return { issuer, serial };
}

function readAttributes(content: Uint8Array, what: string): (Attribute & { readonly raw: Uint8Array })[] {
  return new DerReader(content, what).rest(32, TAG.sequence).map((tlv) => {
    const reader = new DerReader(tlv.content, what);
    const oid = readOid(reader.next(TAG.oid), what);
    const values = reader.enter(TAG.set, what).rest(16);
    reader.end();
    return { oid, values, raw: tlv.raw };
  });
}

export interface TstInfo {
  readonly policy: string;
  readonly imprintAlgorithm: Algorithm;
  readonly imprint: Uint8Array;
  /** Unsigned hex without leading zero bytes. */
  readonly serial: string;
  readonly genTime: AsnTime;
  /** Undefined means unknown, never zero. */
  readonly accuracyMicros: number | undefined;
  readonly ordering: boolean;
  /** Unsigned hex without leading zero bytes. */
  readonly nonce: string | undefined;
  /** DER of the GeneralName. */
  readonly tsa: Uint8Array | undefined;
  readonly criticalExtensions: readonly string[];
}

/** TSTInfo (RFC 3161 §2.4.2). Throws DerFault. */
export function readTstInfo(bytes: Uint8Array): TstInfo {
  const reader = openWhole(bytes, TAG.sequence, 'TSTInfo');
  if (readSmall(reader.next(TAG.integer), 'TSTInfo version') !== 1)
    throw new DerFault('MALFORMED', 'TSTInfo: version 1 expected');
  const policy = readOid(reader.next(TAG.oid), 'policy');
  const print = reader.enter(TAG.sequence, 'messageImprint');
  const imprintAlgorithm = readAlgorithm(print.next(TAG.sequence), 'messageImprint');
  const imprint = print.next(TAG.octetString).content;
  print.end();
  const serial = readUnsigned(reader.next(TAG.integer), 'serialNumber', 21);
  const genTime = readGeneralizedTime(reader.next(TAG.generalizedTime), 'genTime');
  const accuracy = reader.optional(TAG.sequence);
  const ordering = reader.at(TAG.boolean) && readBoolean(reader.next(TAG.boolean), 'ordering');
  const nonce = reader.optional(TAG.integer);
  const tsa = reader.at(constructed(0)) ? reader.enter(constructed(0), 'tsa') : undefined;
  const tsaName = tsa?.next().raw;
  tsa?.end();
  const extensions = reader.optional(constructed(1));
  reader.end();
  return {
    policy,
    imprintAlgorithm,
    imprint,
    serial,
    genTime,
    accuracyMicros: accuracy && readAccuracy(accuracy),
    ordering,
    nonce: nonce && readUnsigned(nonce, 'nonce', 33),
    tsa: tsaName,
    criticalExtensions: extensions === undefined ? [] : readCriticalOids(extensions.content),
  };
}

function readAccuracy(tlv: Tlv): number {
  const reader = new DerReader(tlv.content, 'accuracy');
  const seconds = reader.at(TAG.integer) ? readSmall(reader.next(TAG.integer), 'accuracy seconds') : 0;
  const fraction = (n: number): number => {
    const part = reader.optional(context(n));
    const value = part === undefined ? 1 : readSmall(part, 'accuracy');
    if (value < 1 || value > 999) throw new DerFault('MALFORMED', `accuracy: ${value} is not in 1..999`);
    return part === undefined ? 0 : value;
  };
  const millis = fraction(0);
  const micros = fraction(1);
  reader.end();
  return seconds * 1_000_000 + millis * 1000 + micros;
}

/** [1] IMPLICIT Extensions: the content is the list itself. */
function readCriticalOids(content: Uint8Array): string[] {
  const critical: string[] = [];
  for (const tlv of new DerReader(content, 'TSTInfo extensions').rest(16, TAG.sequence)) {
    const reader = new DerReader(tlv.content, 'TSTInfo extension');
    const oid = readOid(reader.next(TAG.oid), 'extnID');
    if (reader.at(TAG.boolean) && readBoolean(reader.next(TAG.boolean), 'critical')) critical.push(oid);
    reader.next(TAG.octetString);
    reader.end();
  }
  return critical;
}

function refuseLong(bytes: Uint8Array): void {
  if (bytes.length > MAX_TIMESTAMP_RESPONSE)
    throw new DerFault('MALFORMED', `${bytes.length} bytes; at most ${MAX_TIMESTAMP_RESPONSE}`);
}
