/**
 * Certificates of a local system (RFC 5280): three dev roots, TLS certificates below one of them, and certificates
 * over public keys whose private half the signer holds. Every subject and issuer says "dev".
 */
import 'reflect-metadata';
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { derSmall } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { writePem } from '../../domain/timestamp/pem.ts';

x509.cryptoProvider.set(globalThis.crypto);

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const ORGANISATION = 'O=Proofline dev';
const DAY_MS = 86_400_000;
/** Clocks of one machine and its containers differ a little; a certificate is valid slightly before it was made. */
const BACKDATE_MS = 60_000;
const ROOT_DAYS = 7_300;
const CRL_DAYS = 3_650;

/** PEM of a certificate and of the private key (PKCS #8) that belongs to it. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export type EndEntity =
  /** A TLS server on loopback. */
  | { readonly kind: 'tls-server' }
  /** A TLS client, known by its common name. */
  | { readonly kind: 'tls-client' }
  /** Signs statements, certificates of proofs or documents. */
  | { readonly kind: 'signing' }
  /** RFC 3161 §2.3: extended key usage critical and exactly timeStamping; key usage digitalSignature alone. */
  | { readonly kind: 'time-stamping' };

/** A fresh P-256 private key as PEM (PKCS #8). */
export function newPrivateKey(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  }).privateKey;
}

/** A self-signed dev root, valid 20 years. */
export async function createRoot(commonName: string, nowMs: number): Promise<Pair> {
  const key = newPrivateKey();
  const keys = await importPair(key);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=${commonName}, ${ORGANISATION}`,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + ROOT_DAYS * DAY_MS),
    keys,
    signingAlgorithm: ECDSA,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString('pem'), key };
}

/** A certificate by `issuer` over a public key (DER SubjectPublicKeyInfo). Returns PEM. */
export async function issueCertificate(
  issuer: Pair,
  spec: {
    readonly commonName: string;
    readonly spki: Uint8Array;
    readonly entity: EndEntity;
    readonly nowMs: number;
    readonly days: number;
    /** Where the issuer's revocation list is published. */
    readonly crlUrl?: string | undefined;
  },
): Promise<string> {
  const root = new x509.X509Certificate(issuer.cert);
  const { privateKey } = await importPair(issuer.key);
  const subject = new x509.PublicKey(spec.spki.slice().buffer);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${spec.commonName}, ${ORGANISATION}`,
    issuer: root.subject,
    notBefore: new Date(spec.nowMs - BACKDATE_MS),
    notAfter: new Date(Math.min(spec.nowMs + spec.days * DAY_MS, root.notAfter.getTime())),
    publicKey: subject,
    signingKey: privateKey,
    signingAlgorithm: ECDSA,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...usagesOf(spec.entity),
      await x509.SubjectKeyIdentifierExtension.create(subject),
      await x509.AuthorityKeyIdentifierExtension.create(root),
      ...(spec.crlUrl === undefined ? [] : [new x509.CRLDistributionPointsExtension([spec.crlUrl])]),
    ],
  });
  return certificate.toString('pem');
}

export interface CrlSpec {
  readonly nowMs: number;
  readonly validMs: number;
  /** Grows from list to list. */
  readonly number: number;
  readonly entries: readonly { readonly serial: string; readonly at: string; readonly reason: CrlReason }[];
}

type CrlReason = Extract<keyof typeof x509.X509CrlReason, 'keyCompromise' | 'superseded' | 'cessationOfOperation'>;

/** A complete revocation list of a root (RFC 5280 §5), DER. */
export async function createCrl(issuer: Pair, spec: CrlSpec): Promise<Uint8Array> {
  const { privateKey } = await importPair(issuer.key);
  const root = new x509.X509Certificate(issuer.cert);
  const crl = await x509.X509CrlGenerator.create({
    issuer: root.subject,
    thisUpdate: new Date(spec.nowMs),
    nextUpdate: new Date(spec.nowMs + spec.validMs),
    signingKey: privateKey,
    signingAlgorithm: ECDSA,
    entries: spec.entries.map(({ serial, at, reason }) => ({
      serialNumber: serial,
      revocationDate: new Date(at),
      reason: x509.X509CrlReason[reason],
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(root),
      new x509.Extension(OID.crlNumber, false, derSmall(spec.number).slice().buffer),
    ],
  });
  return new Uint8Array(crl.rawData);
}

/** An empty revocation list of a root, valid ten years. Returns PEM. */
export async function createEmptyCrl(issuer: Pair, nowMs: number): Promise<string> {
  const from = nowMs - BACKDATE_MS;
  const validMs = CRL_DAYS * DAY_MS;
  return writePem('X509 CRL', await createCrl(issuer, { nowMs: from, validMs, number: 1, entries: [] }));
}

/** DER SubjectPublicKeyInfo of a private key given as PEM. */
export async function publicKeyOf(privateKeyPem: string): Promise<Uint8Array> {
  const { publicKey } = await importPair(privateKeyPem);
  return new Uint8Array(await crypto.subtle.exportKey('spki', publicKey));
}

function usagesOf(entity: EndEntity): x509.Extension[] {
  const digitalSignature = new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true);
  switch (entity.kind) {
    case 'tls-server':
      return [
        digitalSignature,
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: 'localhost' },
          { type: 'ip', value: '127.0.0.1' },
          { type: 'ip', value: '::1' },
        ]),
      ];
    case 'tls-client':
      return [digitalSignature, new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])];
    case 'signing':
      return [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.nonRepudiation, true),
      ];
    case 'time-stamping':
      return [digitalSignature, new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.timeStamping], true)];
  }
}

async function importPair(privateKeyPem: string): Promise<CryptoKeyPair> {
  const key = createPrivateKey(privateKeyPem);
  const privateKey = await crypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), ECDSA, true, [
    'sign',
  ]);
  const { d: _, ...publicJwk } = key.export({ format: 'jwk' });
  const publicKey = await crypto.subtle.importKey('jwk', publicJwk as JsonWebKey, ECDSA, true, ['verify']);
  return { privateKey, publicKey };
}

/** 127 random bits, positive (RFC 5280 §4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString('hex');
}
