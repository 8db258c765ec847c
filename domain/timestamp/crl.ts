/** Certificate revocation lists (RFC 5280 §5), complete lists only: a delta, indirect or partitioned one covers nothing. */
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../bytes.ts';
import type { VerificationCache } from './cache.ts';
import { openSigned, readExtensions, type SignedObject } from './certificate.ts';
import { constructed, DerFault, DerReader, readSmall, readUnsigned, TAG, type Tlv } from './der.ts';
import { OID } from './oids.ts';
import { type AsnTime, readCertificateTime } from './time.ts';

export interface Revocation {
  readonly at: AsnTime;
  /** CRLReason (RFC 5280 §5.3.1), undefined when none is given. */
  readonly reason: number | undefined;
}

export interface Crl extends SignedObject {
  readonly issuer: Uint8Array;
  readonly thisUpdate: AsnTime;
  readonly nextUpdate: AsnTime | undefined;
  /** False when it has critical extensions that we do not process, issuingDistributionPoint and deltaCRLIndicator among them. */
  readonly isComplete: boolean;
  /** By unsigned hex serial. */
  readonly revoked: ReadonlyMap<string, Revocation>;
}

const MAX_CRL = 4 * 1024 * 1024;
const MAX_ENTRIES = 200_000;

/** Throws DerFault. */
export function readCrl(der: Uint8Array, cache: VerificationCache): Crl {
  if (der.length > MAX_CRL) throw new DerFault('MALFORMED', `CRL of ${der.length} bytes`);
  const fingerprint = toHex(sha256(der));
  return cache.crls.getOrMake(fingerprint, () => parseCrl(new Uint8Array(der), fingerprint));
}

function parseCrl(der: Uint8Array, fingerprint: string): Crl {
  const { fields, algorithmRaw, ...signed } = openSigned(der, fingerprint, 'CRL');
  if (fields.at(TAG.integer) && readSmall(fields.next(TAG.integer), 'CRL version') !== 1)
    throw new DerFault('MALFORMED', 'CRL: version 2 expected');
  if (toHex(fields.next(TAG.sequence).raw) !== toHex(algorithmRaw))
    throw new DerFault('MALFORMED', 'CRL: two signature algorithms');
  const issuer = fields.next(TAG.sequence).raw;
  const thisUpdate = readCertificateTime(fields.next(), 'thisUpdate');
  const hasNext = fields.at(TAG.utcTime) || fields.at(TAG.generalizedTime);
  const nextUpdate = hasNext ? readCertificateTime(fields.next(), 'nextUpdate') : undefined;
  const entries = fields.at(TAG.sequence)
    ? fields.enter(TAG.sequence, 'revokedCertificates').rest(MAX_ENTRIES, TAG.sequence)
    : [];
  const extensions = fields.at(constructed(0)) ? readExtensions(fields.next(constructed(0)).content, 'CRL') : [];
  fields.end();
  let isComplete = extensions.every((extension) => !extension.critical);
  const revoked = new Map<string, Revocation>();
  for (const entry of entries) {
    const read = readEntry(entry);
    // An unknown critical entry extension may move the entry to another issuer: then the list cannot be relied on.
    if (!read.isUnderstood) isComplete = false;
    revoked.set(read.serial, { at: read.at, reason: read.reason });
  }
  return { ...signed, issuer, thisUpdate, nextUpdate, isComplete, revoked };
}

function readEntry(tlv: Tlv): Revocation & { readonly serial: string; readonly isUnderstood: boolean } {
  const reader = new DerReader(tlv.content, 'CRL entry');
  const serial = readUnsigned(reader.next(TAG.integer), 'userCertificate', 21);
  const at = readCertificateTime(reader.next(), 'revocationDate');
  const extensions = reader.done ? [] : readExtensions(reader.next(TAG.sequence).raw, 'CRL entry');
  reader.end();
  const reason = extensions.find((extension) => extension.oid === OID.reasonCode);
  return {
    serial,
    at,
    reason: reason && readSmall(openReason(reason.value), 'reasonCode'),
    isUnderstood: extensions.every((extension) => !extension.critical || extension.oid === OID.reasonCode),
  };
}

function openReason(value: Uint8Array): Tlv {
  const reader = new DerReader(value, 'reasonCode');
  const tlv = reader.next(TAG.enumerated);
  reader.end();
  return tlv;
}

/**
 * Whether an entry makes signatures at `atMicros` worthless. RFC 3161 §4.1: after an orderly end (unspecified,
 * affiliationChanged, superseded, cessationOfOperation) earlier tokens stay good; with any other reason, or none, none do.
 */
export function revokesAt(entry: Revocation, atMicros: bigint): boolean {
  const isOrderly = entry.reason === 0 || entry.reason === 3 || entry.reason === 4 || entry.reason === 5;
  return !isOrderly || entry.at.epochMicros <= atMicros;
}
