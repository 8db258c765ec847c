/**
 * What clients and mirrors know a consensus node by: the RSA key of the address book, and a self-signed certificate for
 * its TLS port. The certificate names 127.0.0.1, whatever the node's address: the SDK asks for that name.
 */
import 'reflect-metadata';
import { createHash, generateKeyPair } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(globalThis.crypto);

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const RSA_BITS = 2_048;
const DAY_MS = 86_400_000;
const VALID_DAYS = 3_650;

export interface NodeIdentity {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8: a key of this simulation only. */
  readonly privateKey: string;
}

/** Making RSA keys takes a moment, so one process makes each node's once, for all networks that it starts. */
const made = new Map<number, Promise<NodeIdentity>>();

/** One per node. With a folder, the same ones after a restart. `nowMs` is the machine's time: TLS clients judge by it. */
export async function nodeIdentities(
  count: number,
  nowMs: number,
  folder: string | undefined,
): Promise<readonly NodeIdentity[]> {
  const file = folder === undefined ? undefined : join(folder, 'nodes.json');
  if (file !== undefined && existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as NodeIdentity[];
    if (kept.length >= count) return kept.slice(0, count);
  }
  const identities = await Promise.all(Array.from({ length: count }, (_, i) => identityOf(i, nowMs)));
  if (folder !== undefined && file !== undefined) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, JSON.stringify(identities), { mode: 0o600 });
  }
  return identities;
}

function identityOf(index: number, nowMs: number): Promise<NodeIdentity> {
  const known = made.get(index);
  if (known !== undefined) return known;
  const making = makeIdentity(index, nowMs);
  made.set(index, making);
  return making;
}

async function makeIdentity(index: number, nowMs: number): Promise<NodeIdentity> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', {
    modulusLength: RSA_BITS,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  });
  const { subtle } = globalThis.crypto;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: (index + 1).toString(16).padStart(2, '0'),
    name: `CN=simulated node ${index}`,
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + VALID_DAYS * DAY_MS),
    signingAlgorithm: RSA,
    keys: {
      privateKey: await subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(privateKey), RSA, true, ['sign']),
      publicKey: await subtle.importKey('spki', publicKey, RSA, true, ['verify']),
    },
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  });
  return { certificate: certificate.toString('pem'), privateKey };
}

/** Hex of the key's SubjectPublicKeyInfo, as the address book holds it. */
export function rsaPublicKeyHex({ certificate }: NodeIdentity): string {
  return Buffer.from(new x509.X509Certificate(certificate).publicKey.rawData).toString('hex');
}

/** Hex of the SHA-384 of the certificate's PEM, as the address book holds it. */
export function certificateHashHex({ certificate }: NodeIdentity): string {
  return createHash('sha384').update(certificate, 'utf8').digest('hex');
}
