/**
 * TimeStampReq (RFC 3161 §2.4.1), built and read by ourselves: version 1, a SHA-2 imprint, a 64-bit nonce, certReq TRUE,
 * so that the reply carries the certificates a reader needs.
 */
import {
  constructed,
  DerFault,
  der,
  derBoolean,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSmall,
  derUnsigned,
  openWhole,
  readBoolean,
  readOid,
  readSmall,
  readUnsigned,
  TAG,
} from './der.ts';
import { HASHES, type HashName, hashOfLength, readAlgorithm } from './hashes.ts';

export interface TimestampRequest {
  /** SHA-256, SHA-384 or SHA-512 value; its length says which. */
  readonly imprint: Uint8Array;
  /** Eight random bytes, fresh for each attempt. */
  readonly nonce: Uint8Array;
  /** Dotted policy the authority is asked to stamp under. */
  readonly policy?: string;
}

/** DER of the request, 66–80 bytes with SHA-256. Throws RangeError on an imprint or nonce of another length. */
export function buildTimestampRequest(request: TimestampRequest): Uint8Array {
  const hash = hashOfLength(request.imprint.length);
  if (hash === undefined) throw new RangeError(`imprint of ${request.imprint.length} bytes; 32, 48 or 64 expected`);
  if (request.nonce.length !== 8) throw new RangeError(`nonce of ${request.nonce.length} bytes; 8 expected`);
  return derSequence(
    derSmall(1),
    messageImprint(hash, request.imprint),
    ...(request.policy === undefined ? [] : [derOid(request.policy)]),
    derUnsigned(request.nonce),
    derBoolean(true),
  );
}

/** MessageImprint (RFC 3161 §2.4.1), algorithm parameters NULL as every authority expects them. */
export function messageImprint(hash: HashName, imprint: Uint8Array): Uint8Array {
  return derSequence(derSequence(derOid(HASHES[hash].oid), derNull()), derOctets(imprint));
}

/** What an authority reads from a request. */
export interface ReadTimestampRequest {
  /** The MessageImprint element, to be repeated byte for byte. */
  readonly imprintRaw: Uint8Array;
  readonly hash: HashName | undefined;
  readonly imprint: Uint8Array;
  readonly policy: string | undefined;
  /** The INTEGER element, to be repeated byte for byte. */
  readonly nonceRaw: Uint8Array | undefined;
  readonly certReq: boolean;
  readonly hasExtensions: boolean;
}

/** Throws DerFault on anything that is not one whole version 1 request. */
export function readTimestampRequest(bytes: Uint8Array): ReadTimestampRequest {
  const what = 'TimeStampReq';
  const reader = openWhole(bytes, TAG.sequence, what);
  if (readSmall(reader.next(TAG.integer), 'version') !== 1)
    throw new DerFault('MALFORMED', `${what}: version 1 expected`);
  const imprintTlv = reader.next(TAG.sequence);
  const inner = openWhole(imprintTlv.raw, TAG.sequence, 'messageImprint');
  const algorithm = readAlgorithm(inner.next(TAG.sequence), 'messageImprint');
  const imprint = inner.next(TAG.octetString).content;
  inner.end();
  const policy = reader.optional(TAG.oid);
  const nonce = reader.optional(TAG.integer);
  if (nonce !== undefined) readUnsigned(nonce, 'nonce', 32);
  const certReq = reader.optional(TAG.boolean);
  const extensions = reader.optional(constructed(0));
  reader.end();
  return {
    imprintRaw: imprintTlv.raw,
    hash: algorithm.hash,
    imprint,
    policy: policy && readOid(policy, 'reqPolicy'),
    nonceRaw: nonce?.raw,
    certReq: certReq !== undefined && readBoolean(certReq, 'certReq'),
    hasExtensions: extensions !== undefined,
  };
}

/** PKIStatusInfo and token as a TimeStampResp (RFC 3161 §2.4.2); a rejection has no token. */
export function buildTimestampResponse(status: number, token?: Uint8Array, failureBit?: number): Uint8Array {
  const info = [derSmall(status)];
  if (failureBit !== undefined) {
    const bytes = new Uint8Array((failureBit >> 3) + 2);
    bytes[0] = 7 - (failureBit & 7);
    bytes[bytes.length - 1] = 0x80 >> (failureBit & 7);
    info.push(der(TAG.bitString, bytes));
  }
  return derSequence(derSequence(...info), ...(token === undefined ? [] : [token]));
}
