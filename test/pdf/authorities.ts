/** The parties behind a signed PDF, with dates of the caller's choice: a signing root and key, a timestamp root and authority. */
import 'reflect-metadata';
import { createPrivateKey, randomBytes } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { PdfAuthority, PdfKey } from '../../activities/rendering/sign-pdf.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { answerQuery, type TsaAuthority } from '../../local/tsa/answer-query.ts';
import type { TsaSignatureAlgorithm } from '../../local/tsa/build-token.ts';
import type { TsaFault } from '../../local/tsa/faults.ts';
import { nodeSigner } from '../../local/tsa/sign-in-process.ts';

x509.cryptoProvider.set(globalThis.crypto);

export const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const POLICY = '1.3.6.1.4.1.99999.1.1';

const KEYS: Record<'ES256' | 'RS256' | 'PS256', EcKeyGenParams | RsaHashedKeyGenParams> = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
};
export type PdfAlg = keyof typeof KEYS;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };

export interface Ca {
  readonly der: Uint8Array;
  readonly pem: string;
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

const TIMESTAMPING = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.timeStamping], true);
const serial = (): string => `01${randomBytes(15).toString('hex')}`;

export async function makeRoot(name: string, atMs: number): Promise<Ca> {
  const keys = (await crypto.subtle.generateKey(KEYS.ES256, true, ['sign', 'verify'])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}, O=Proofline test`,
    notBefore: new Date(atMs - 30 * DAY_MS),
    notAfter: new Date(atMs + 3_650 * DAY_MS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  return { der, pem: writePem('CERTIFICATE', der), certificate, keys };
}

export interface Leaf {
  readonly der: Uint8Array;
  readonly keys: CryptoKeyPair;
  readonly serialNumber: string;
}

export async function makeLeaf(
  ca: Ca,
  name: string,
  spec: {
    readonly alg: PdfAlg;
    readonly atMs: number;
    readonly days?: number;
    readonly keys?: CryptoKeyPair;
    readonly usage?: x509.KeyUsageFlags;
    readonly extensions?: readonly x509.Extension[];
  },
): Promise<Leaf> {
  const keys =
    spec.keys ?? ((await crypto.subtle.generateKey(KEYS[spec.alg], true, ['sign', 'verify'])) as CryptoKeyPair);
  const { digitalSignature, nonRepudiation } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${name}, O=Proofline test`,
    issuer: ca.certificate.subject,
    notBefore: new Date(spec.atMs - 10 * DAY_MS),
    notAfter: new Date(spec.atMs + (spec.days ?? 365) * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(spec.usage ?? digitalSignature | nonRepudiation, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate),
      ...(spec.extensions ?? []),
    ],
  });
  return { der: new Uint8Array(certificate.rawData), keys, serialNumber: certificate.serialNumber };
}

/** DER of a list of `ca`, in force for ten days unless told otherwise. */
export async function makeCrl(
  ca: Ca,
  fromMs: number,
  entries: readonly { readonly serialNumber: string; readonly atMs: number }[] = [],
  toMs = fromMs + 10 * DAY_MS,
): Promise<Uint8Array> {
  const list = await x509.X509CrlGenerator.create({
    issuer: ca.certificate.subject,
    thisUpdate: new Date(fromMs),
    nextUpdate: new Date(toMs),
    entries: entries.map(({ serialNumber, atMs }) => ({
      serialNumber,
      revocationDate: new Date(atMs),
      reason: x509.X509CrlReason.keyCompromise,
    })),
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(ca.certificate)],
  });
  return new Uint8Array(list.rawData);
}

async function signerOf(keys: CryptoKeyPair, alg: TsaSignatureAlgorithm): Promise<TsaAuthority['sign']> {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return nodeSigner(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }), alg);
}

export async function pdfKeyOf(alg: PdfAlg, leaf: Leaf, ca: Ca): Promise<PdfKey> {
  return { alg, chain: [leaf.der, ca.der], sign: await signerOf(leaf.keys, alg) };
}

/** A way to tokens of an authority at a time that the caller moves; `fault` is in force for every token. */
export async function makeStamps(
  ca: Ca,
  leaf: Leaf,
  clock: { nowMs: number },
  fault?: TsaFault,
): Promise<PdfAuthority> {
  const authority: TsaAuthority = {
    certificate: leaf.der,
    chain: [ca.der],
    sign: await signerOf(leaf.keys, 'ES256'),
    signatureAlgorithm: 'ES256',
    policy: POLICY,
    clock: {
      nowMs: () => clock.nowMs,
      nowMicros: () => new Date(clock.nowMs).toISOString().replace('Z', '000Z'),
    } as TsaAuthority['clock'],
    random: (length) => new Uint8Array(randomBytes(length)),
  };
  return {
    async stamp(imprint) {
      const query = buildTimestampRequest({ imprint, nonce: new Uint8Array(randomBytes(8)) });
      const reply = await answerQuery(authority, query, fault, authority.random(16).fill(1, 0, 1));
      const token = readTimestampResponse(reply).token ?? new Uint8Array();
      const { genTimeMicros = '' } = await verifyTimestampToken(token, { imprint, roots: [ca.der] });
      return { token, genTime: genTimeMicros };
    },
  };
}

export const TSA_EXTENSIONS = [TIMESTAMPING];
