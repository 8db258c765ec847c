/** A timestamp authority with fixed dates: root, leaf, revocation list, and tokens at any time. */
import 'reflect-metadata';
import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { StoredToken } from '../../domain/bundle.ts';
import { toBase64Url } from '../../domain/bytes.ts';
import { parseInstant } from '../../domain/time.ts';
import { hashOfLength } from '../../domain/timestamp/hashes.ts';
import { messageImprint } from '../../domain/timestamp/request.ts';
import { buildToken } from '../tsa/build-token.ts';
import { p256 } from './keys.ts';

const SIGNING = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
export const POLICY = '1.3.6.1.4.1.99999.1.1';

export interface EvidenceAuthority {
  readonly name: string;
  readonly rootPem: string;
  /** DER, base64url. */
  readonly crl: string;
  readonly revokedCrl: string;
  readonly stamp: (imprint: Uint8Array, genTime: string, more?: { policy?: string }) => Promise<StoredToken>;
}

/** An authority whose leaf is in force from 2026 to `leafEnds`. */
export async function makeAuthority(name: string, leafEnds = '2027-01-01T00:00:00Z'): Promise<EvidenceAuthority> {
  const rootKey = p256('root', 1, `${name} root`).privateKey;
  const leafKey = p256('leaf', 1, `${name} leaf`).privateKey;
  const rootKeys = await importPair(rootKey);
  const subject = `CN=${name} root`;
  const from = new Date('2026-01-01T00:00:00Z');
  const root = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject,
    issuer: subject,
    notBefore: from,
    notAfter: new Date('2046-01-01T00:00:00Z'),
    publicKey: rootKeys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const leafPublic = (await importPair(leafKey)).publicKey;
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: '02',
    subject: `CN=${name}`,
    issuer: subject,
    notBefore: from,
    notAfter: new Date(leafEnds),
    publicKey: leafPublic,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.timeStamping], true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const certificate = new Uint8Array(leaf.rawData);
  const crl = await makeCrl(subject, rootKeys.privateKey, []);
  const revokedCrl = await makeCrl(subject, rootKeys.privateKey, [
    { serialNumber: '02', revocationDate: new Date('2026-11-20T00:00:00Z'), reason: x509.X509CrlReason.keyCompromise },
  ]);
  return {
    name,
    rootPem: root.toString('pem'),
    crl,
    revokedCrl,
    async stamp(imprint, genTime, { policy = POLICY } = {}) {
      const token = await buildToken({
        policy,
        imprintRaw: messageImprint(hashOfLength(imprint.length) ?? 'SHA-256', imprint),
        serial: new Uint8Array(createHash('sha256').update(imprint).update(genTime).digest().subarray(0, 8)),
        genTimeMicros: parseInstant(genTime) as bigint,
        accuracyMillis: 500,
        certificate,
        embedded: [certificate],
        signatureAlgorithm: 'ES256',
        sign: async (bytes) => new Uint8Array(sign('sha256', bytes, leafKey)),
      });
      return { tsa: name, token: toBase64Url(token), crls: [crl] };
    },
  };
}

async function makeCrl(
  issuer: string,
  signingKey: CryptoKey,
  entries: { serialNumber: string; revocationDate: Date; reason: x509.X509CrlReason }[],
): Promise<string> {
  const list = await x509.X509CrlGenerator.create({
    issuer,
    thisUpdate: new Date('2026-11-22T00:00:00Z'),
    nextUpdate: new Date('2040-01-01T00:00:00Z'),
    entries,
    signingKey,
    signingAlgorithm: SIGNING,
  });
  return toBase64Url(new Uint8Array(list.rawData));
}

async function importPair(key: KeyObject): Promise<CryptoKeyPair> {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', new Uint8Array(der), SIGNING, true, ['sign']),
    publicKey: await crypto.subtle.importKey('spki', new Uint8Array(spki), SIGNING, true, ['verify']),
  };
}
