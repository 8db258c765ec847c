/** ESSCertIDv2 (RFC 5816 §2.2.1, RFC 5035 §5.4.1) and ESSCertID (RFC 5035 §5.4.2): the signer's certificate, named under its signature. */
import { sha1 } from '@noble/hashes/legacy.js';
import { equalBytes } from '../bytes.ts';
import type { Certificate } from './certificate.ts';
import { constructed, DerReader, openWhole, readUnsigned, TAG } from './der.ts';
import { HASHES, type HashName, readAlgorithm } from './hashes.ts';

/** Why the first entry of a SigningCertificate attribute does not name `certificate`; undefined if it does. Throws DerFault. */
export function findEssMismatch(value: Uint8Array, version: 1 | 2, certificate: Certificate): string | undefined {
  const reader = openWhole(value, TAG.sequence, 'SigningCertificate');
  const [first] = reader.enter(TAG.sequence, 'SigningCertificate certs').rest(16, TAG.sequence);
  reader.optional(TAG.sequence);
  reader.end();
  if (first === undefined) return 'no certificate is named';
  const entry = new DerReader(first.content, 'ESSCertID');
  let hash: HashName | undefined = 'SHA-256';
  if (version === 2 && entry.at(TAG.sequence)) hash = readAlgorithm(entry.next(TAG.sequence), 'ESSCertIDv2').hash;
  if (hash === undefined) return 'hash algorithm of ESSCertIDv2 not accepted';
  const certHash = entry.next(TAG.octetString).content;
  const issuerSerial = entry.optional(TAG.sequence);
  entry.end();
  // SHA-1 only names the certificate here, a second preimage would be needed; version 1 knows nothing else.
  const expected = version === 1 ? sha1(certificate.raw) : HASHES[hash].hash(certificate.raw);
  if (!equalBytes(certHash, expected)) return 'certHash is of another certificate';
  if (issuerSerial === undefined) return undefined;
  const pair = new DerReader(issuerSerial.content, 'issuerSerial');
  const names = pair.enter(TAG.sequence, 'issuerSerial issuer').rest(4);
  const serial = readUnsigned(pair.next(TAG.integer), 'issuerSerial serial', 21);
  pair.end();
  const [name] = names;
  const namesIssuer =
    names.length === 1 && name?.tag === constructed(4) && equalBytes(name.content, certificate.issuer);
  return namesIssuer && serial === certificate.serial ? undefined : 'issuerSerial is of another certificate';
}
