/**
 * Certificates of an authority, made in this process: a CA, leaves over one key with the purposes asked for, CRLs; all
 * DER. Some are wrong on purpose, for the fault switches and the tests of verification.
 */
import 'reflect-metadata';
import { createPrivateKey, randomBytes } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { TsaAuthority, TsaIdentity } from './answer-query.ts';

x509.cryptoProvider.set(globalThis.crypto);

const KEY = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };
const CRITICAL_TIMESTAMPING = [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.timeStamping], true)];
const DIGITAL_SIGNATURE = x509.KeyUsageFlags.digitalSignature;

export interface LeafSpec {
  readonly purposes?: readonly x509.Extension[];
  readonly keyUsage?: x509.KeyUsageFlags | undefined;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface TestCa {
  /** Its distinguished name, e.g. `CN=Root`. */
  readonly subject: string;
  readonly der: Uint8Array;
  readonly keys: CryptoKeyPair;
}

const days = (count: number): Date => new Date(Date.now() + count * 86_400_000);
const newSerial = (): string => `01${randomBytes(15).toString('hex')}`;

/** A self-signed CA, or one below `issuer`. */
export async function makeCa(
  name: string,
  issuer?: TestCa,
  extensions: readonly x509.Extension[] = [],
): Promise<TestCa> {
  const keys = await crypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${name}`,
    issuer: issuer?.subject ?? `CN=${name}`,
    notBefore: days(-1),
    notAfter: days(3650),
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ...extensions,
    ],
  });
  return { subject: `CN=${name}`, der: new Uint8Array(certificate.rawData), keys };
}

/** A leaf over `publicKey` below `ca`. Defaults are those of an authority. */
export async function makeLeaf(ca: TestCa, publicKey: CryptoKey, spec: LeafSpec = {}): Promise<Uint8Array> {
  const keyUsage = 'keyUsage' in spec ? spec.keyUsage : DIGITAL_SIGNATURE;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: 'CN=Proofline test TSA',
    issuer: ca.subject,
    notBefore: spec.notBefore ?? days(-1),
    notAfter: spec.notAfter ?? days(365),
    publicKey,
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      ...(spec.purposes ?? CRITICAL_TIMESTAMPING),
      ...(keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

/** A CRL of `ca`. */
export async function makeCrl(
  ca: TestCa,
  entries: readonly {
    readonly serialNumber: string;
    readonly revocationDate: Date;
    readonly reason?: x509.X509CrlReason;
  }[] = [],
  window: { readonly thisUpdate?: Date; readonly nextUpdate?: Date } = {},
): Promise<Uint8Array> {
  const crl = await x509.X509CrlGenerator.create({
    issuer: ca.subject,
    thisUpdate: window.thisUpdate ?? days(-1),
    nextUpdate: window.nextUpdate ?? days(30),
    entries: [...entries],
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGNING,
  });
  return new Uint8Array(crl.rawData);
}

/** A CA of P-256 from its PEM files. */
export async function readCa(certPem: string, keyPem: string): Promise<TestCa> {
  const certificate = new x509.X509Certificate(certPem);
  const pkcs8 = createPrivateKey(keyPem).export({ format: 'der', type: 'pkcs8' });
  const privateKey = await crypto.subtle.importKey('pkcs8', new Uint8Array(pkcs8), KEY, false, ['sign']);
  const publicKey = await crypto.subtle.importKey('spki', certificate.publicKey.rawData, KEY, true, ['verify']);
  return { subject: certificate.subject, der: new Uint8Array(certificate.rawData), keys: { privateKey, publicKey } };
}

/** The certificates that the faults of these names need, over the authority's key. */
export async function makeAlternates(
  ca: TestCa,
  publicKey: CryptoKey,
): Promise<NonNullable<TsaAuthority['alternates']>> {
  const { timeStamping, emailProtection } = x509.ExtendedKeyUsage;
  const leaf = async (under: TestCa, spec: LeafSpec): Promise<TsaIdentity> => ({
    certificate: await makeLeaf(under, publicKey, spec),
    chain: [under.der],
  });
  return {
    'eku-missing': await leaf(ca, { purposes: [] }),
    'eku-extra': await leaf(ca, {
      purposes: [new x509.ExtendedKeyUsageExtension([timeStamping, emailProtection], true)],
    }),
    'eku-not-critical': await leaf(ca, { purposes: [new x509.ExtendedKeyUsageExtension([timeStamping], false)] }),
    'untrusted-chain': await leaf(await makeCa('Foreign dev root'), {}),
  };
}

/** Reads the public key of a certificate. */
export async function publicKeyOf(certificate: Uint8Array): Promise<CryptoKey> {
  return new x509.X509Certificate(new Uint8Array(certificate)).publicKey.export();
}
