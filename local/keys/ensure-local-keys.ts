/**
 * The keys of a system on one machine, made at first start: a transport root with the TLS certificates below it,
 * the roots of the signing and timestamp certificates, the licence issuer, the passphrase of the signer's keystore.
 * The private keys of seals, log and ledger are not here: the signer makes and keeps them.
 */
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import {
  createEmptyCrl,
  createRoot,
  type EndEntity,
  issueCertificate,
  newPrivateKey,
  type Pair,
  publicKeyOf,
} from './certificates.ts';
import { makeFolderOnce } from './make-folder-once.ts';
import { writeDurably } from './write-durably.ts';

/** Who may call the signer; the common name in the certificate is `proofline-<name>`. */
export const LOCAL_CLIENTS = ['worker', 'tsa', 'admin'] as const;
export type LocalClient = (typeof LOCAL_CLIENTS)[number];

export interface PairFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Where everything lies. Files hold PEM unless their name ends in `.json`. */
export interface LocalKeys {
  readonly dir: string;
  /** Root of the TLS certificates: `PROOFLINE_SIGNER_CA_FILE`. */
  readonly transportCaFile: string;
  readonly signerServer: PairFiles;
  readonly clients: Readonly<Record<LocalClient, PairFiles>>;
  /** Root of seal and certificate keys: `PROOFLINE_SEALED_ROOTS_FILE`. */
  readonly signingRoot: PairFiles & { readonly crlFile: string };
  /** Root of the timestamp certificate. */
  readonly tsaRoot: PairFiles & { readonly crlFile: string };
  /** Root and leaf (RSA-2048) of a second authority that shares nothing with the first, the signer included. */
  readonly tsaSecond: { readonly root: PairFiles & { readonly crlFile: string }; readonly leaf: PairFiles };
  /** Holds the base address of published revocation lists, where there is one. */
  readonly crlBaseFile: string;
  /** Licence issuer (Ed25519): the private JWK, and the public JWKS: `PROOFLINE_LICENSE_ISSUERS_FILE`. */
  readonly licenseIssuer: { readonly keyFile: string; readonly jwksFile: string };
  /** Folder of the signer: keystore, memory, policy. */
  readonly signerDir: string;
  readonly passphraseFile: string;
}

const TLS_DAYS = 365;
const SECOND_TSA_DAYS = 3_650;
const RENEW_BEFORE_MS = 30 * 86_400_000;

/** The common name of a client, as the signer's allow-list knows it. */
export const clientName = (client: LocalClient): string => `proofline-${client}`;

/** The paths under `dir`; touches nothing. */
export function localKeyPaths(dir: string): LocalKeys {
  const pair = (...at: string[]): PairFiles => ({
    certFile: join(dir, ...at, 'cert.pem'),
    keyFile: join(dir, ...at, 'key.pem'),
  });
  return {
    dir,
    transportCaFile: join(dir, 'ca', 'transport', 'cert.pem'),
    signerServer: pair('tls', 'signer'),
    clients: { worker: pair('tls', 'worker'), tsa: pair('tls', 'tsa'), admin: pair('tls', 'admin') },
    signingRoot: { ...pair('ca', 'signing'), crlFile: join(dir, 'ca', 'signing', 'crl.pem') },
    tsaRoot: { ...pair('ca', 'tsa'), crlFile: join(dir, 'ca', 'tsa', 'crl.pem') },
    tsaSecond: {
      root: { ...pair('ca', 'tsa-second'), crlFile: join(dir, 'ca', 'tsa-second', 'crl.pem') },
      leaf: pair('tsa-second'),
    },
    crlBaseFile: join(dir, 'crl-base'),
    licenseIssuer: {
      keyFile: join(dir, 'license-issuer', 'key.json'),
      jwksFile: join(dir, 'license-issuer', 'jwks.json'),
    },
    signerDir: join(dir, 'signer'),
    passphraseFile: join(dir, 'signer-secret', 'passphrase'),
  };
}

/**
 * Makes what is missing under `dir` and renews TLS certificates within 30 days of their end (the key stays, so a
 * running process reads a pair that fits). Safe to call again, and from several processes at once.
 */
export async function ensureLocalKeys(dir: string, clock: Clock): Promise<LocalKeys> {
  const paths = localKeyPaths(dir);
  const nowMs = clock.nowMs();
  await ensureRoot(join(dir, 'ca', 'transport'), 'Proofline dev transport root', nowMs);
  await ensureRoot(join(dir, 'ca', 'signing'), 'Proofline dev signing root', nowMs);
  await ensureRoot(join(dir, 'ca', 'tsa'), 'Proofline dev timestamp root', nowMs);
  await ensureRoot(join(dir, 'ca', 'tsa-second'), 'Proofline dev second timestamp root', nowMs);
  await ensureSecondAuthority(paths, nowMs);
  const transport = await readPair({
    certFile: paths.transportCaFile,
    keyFile: join(dir, 'ca', 'transport', 'key.pem'),
  });
  await ensureTls(join(dir, 'tls', 'signer'), transport, 'proofline-signer dev', { kind: 'tls-server' }, nowMs);
  for (const client of LOCAL_CLIENTS) {
    await ensureTls(join(dir, 'tls', client), transport, clientName(client), { kind: 'tls-client' }, nowMs);
  }
  await makeFolderOnce(join(dir, 'license-issuer'), async () => newLicenseIssuer());
  await makeFolderOnce(join(dir, 'signer-secret'), async () => ({
    passphrase: `${randomBytes(32).toString('base64url')}\n`,
  }));
  return paths;
}

/** The roots whose revocation lists are published, each under the name of its folder. */
export const LISTED_ROOTS = ['signing', 'tsa', 'tsa-second'] as const;
export type ListedRoot = (typeof LISTED_ROOTS)[number];

/** Where a root publishes its list; undefined where nothing is published, so that certificates name no address. */
export async function crlUrlOf(keys: LocalKeys, root: ListedRoot): Promise<string | undefined> {
  const base = await readFile(keys.crlBaseFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return '';
  });
  return base.trim() === '' ? undefined : `${base.trim()}${root}.crl`;
}

/** Reads a certificate and its key. */
export async function readPair(files: PairFiles): Promise<Pair> {
  const [cert, key] = await Promise.all([readFile(files.certFile, 'utf8'), readFile(files.keyFile, 'utf8')]);
  return { cert, key };
}

async function ensureRoot(folder: string, commonName: string, nowMs: number): Promise<void> {
  await makeFolderOnce(folder, async () => {
    const root = await createRoot(commonName, nowMs);
    return { 'cert.pem': root.cert, 'key.pem': root.key, 'crl.pem': await createEmptyCrl(root, nowMs) };
  });
}

async function ensureSecondAuthority(paths: LocalKeys, nowMs: number): Promise<void> {
  await makeFolderOnce(join(paths.dir, 'tsa-second'), async () => {
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2_048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const certificate = await issueCertificate(await readPair(paths.tsaSecond.root), {
      commonName: 'Proofline dev second tsa',
      spki: new Uint8Array(createPublicKey(privateKey).export({ type: 'spki', format: 'der' })),
      entity: { kind: 'time-stamping' },
      nowMs,
      days: SECOND_TSA_DAYS,
      crlUrl: await crlUrlOf(paths, 'tsa-second'),
    });
    return { 'cert.pem': certificate, 'key.pem': privateKey };
  });
}

async function ensureTls(
  folder: string,
  issuer: Pair,
  commonName: string,
  entity: EndEntity,
  nowMs: number,
): Promise<void> {
  const issue = async (key: string): Promise<string> =>
    issueCertificate(issuer, { commonName, spki: await publicKeyOf(key), entity, nowMs, days: TLS_DAYS });
  await makeFolderOnce(folder, async () => {
    const key = newPrivateKey();
    return { 'cert.pem': await issue(key), 'key.pem': key };
  });
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
  const { cert, key } = await readPair(files);
  if (new X509Certificate(cert).validToDate.getTime() - nowMs < RENEW_BEFORE_MS)
    await writeDurably(files.certFile, await issue(key));
}

function newLicenseIssuer(): Record<string, string> {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const named = { kid: 'license-dev-1', alg: 'EdDSA', use: 'sig', kty: jwk.kty, crv: jwk.crv, x: jwk.x };
  return {
    'key.json': `${JSON.stringify({ ...named, d: jwk.d }, undefined, 2)}\n`,
    'jwks.json': `${JSON.stringify({ keys: [named] }, undefined, 2)}\n`,
  };
}
