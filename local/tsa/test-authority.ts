/**
 * Certificates of authorities for tests and for the fault switches: a root, optionally an intermediate, and leaves over
 * one key with the purposes asked for, each DER. Keys are made in this process and never written.
 */
import 'reflect-metadata';
import { constants, createPrivateKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { systemClock } from '../../domain/clock.ts';
import type { TsaAuthority, TsaIdentity } from './answer-query.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';

x509.cryptoProvider.set(globalThis.crypto);

const KEY_PARAMETERS: Record<TsaSignatureAlgorithm, EcKeyGenParams | RsaHashedKeyGenParams> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
};
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
  readonly name: string;
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
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: days(-1),
    notAfter: days(3650),
    publicKey: keys.publicKey,
    signingKey: (issuer ?? { keys }).keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ...extensions,
    ],
  });
  return { name, der: new Uint8Array(certificate.rawData), keys };
}

/** A leaf over `publicKey` below `ca`. Defaults are those of an authority. */
export async function makeLeaf(ca: TestCa, publicKey: CryptoKey, spec: LeafSpec = {}): Promise<Uint8Array> {
  const keyUsage = 'keyUsage' in spec ? spec.keyUsage : DIGITAL_SIGNATURE;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: 'CN=Proofline test TSA',
    issuer: `CN=${ca.name}`,
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
    issuer: `CN=${ca.name}`,
    thisUpdate: window.thisUpdate ?? days(-1),
    nextUpdate: window.nextUpdate ?? days(30),
    entries: [...entries],
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGNING,
  });
  return new Uint8Array(crl.rawData);
}

export interface TestAuthority {
  readonly root: TestCa;
  readonly issuer: TestCa;
  readonly keys: CryptoKeyPair;
  /** For startTsa and answerQuery. */
  readonly authority: TsaAuthority;
  readonly sign: TsaAuthority['sign'];
}

/** An authority with a key of its own below root and intermediate, and a certificate for every fault that needs one. */
export async function makeTestAuthority(algorithm: TsaSignatureAlgorithm = 'ES256'): Promise<TestAuthority> {
  const root = await makeCa('Proofline test root');
  const issuer = await makeCa('Proofline test issuer', root);
  const foreign = await makeCa('Foreign root');
  const keys = (await crypto.subtle.generateKey(KEY_PARAMETERS[algorithm], true, ['sign', 'verify'])) as CryptoKeyPair;
  const leaf = async (purposes?: readonly x509.Extension[], ca = issuer): Promise<TsaIdentity> => ({
    certificate: await makeLeaf(ca, keys.publicKey, purposes === undefined ? {} : { purposes }),
    chain: [ca.der],
  });
  const { timeStamping, emailProtection } = x509.ExtendedKeyUsage;
  const signWith = nodeSigner(
    createPrivateKey({
      key: Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)),
      format: 'der',
      type: 'pkcs8',
    }),
    algorithm,
  );
  const authority: TsaAuthority = {
    ...(await leaf()),
    sign: signWith,
    signatureAlgorithm: algorithm,
    policy: '1.3.6.1.4.1.99999.1.1',
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
    alternates: {
      'eku-missing': await leaf([]),
      'eku-extra': await leaf([new x509.ExtendedKeyUsageExtension([timeStamping, emailProtection], true)]),
      'eku-not-critical': await leaf([new x509.ExtendedKeyUsageExtension([timeStamping], false)]),
      'untrusted-chain': await leaf(undefined, foreign),
    },
  };
  return { root, issuer, keys, authority, sign: signWith };
}

/** Signs with a key in this process, in the form of CMS. */
export function nodeSigner(key: KeyObject, algorithm: TsaSignatureAlgorithm): TsaAuthority['sign'] {
  const hash = algorithm === 'ES384' ? 'sha384' : 'sha256';
  const options = algorithm === 'PS256' ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : key;
  return async (bytes) => new Uint8Array(sign(hash, bytes, options));
}
