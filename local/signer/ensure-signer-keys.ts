import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { type EndEntity, issueCertificate } from '../keys/certificates.ts';
import { crlUrlOf, type ListedRoot, type LocalKeys, type PairFiles, readPair } from '../keys/ensure-local-keys.ts';
import type { KeyAlg, KeyVersion, Purpose } from './key-version.ts';
import { labelOf, listKids, storeTokenVersion, storeVersion } from './keystore.ts';
import type { Token } from './pkcs11/open-token.ts';
import { TOKEN_ALGS } from './pkcs11/public-jwk.ts';
import { generateKey, publicPartOf, publicPartOfJwk } from './software-key.ts';

export interface KeySpec {
  readonly purpose: Purpose;
  readonly alg: KeyAlg;
  /** See `KeyVersion.digests`. */
  readonly digests?: boolean;
}

/** The keys of a local system by kid. */
export const DEFAULT_KEYS = {
  seal: { purpose: 'seal', alg: 'ES256' },
  log: { purpose: 'log-checkpoint', alg: 'EdDSA' },
  certificate: { purpose: 'certificate', alg: 'ES256' },
  pdf: { purpose: 'pdf', alg: 'ES256' },
  'hedera-payer': { purpose: 'tx-hedera', alg: 'EdDSA' },
  'hedera-submit': { purpose: 'tx-hedera', alg: 'EdDSA' },
  tsa: { purpose: 'tsa', alg: 'ES256' },
  mac: { purpose: 'hmac', alg: 'HS256' },
  secrets: { purpose: 'decrypt', alg: 'A256GCM' },
} as const satisfies Readonly<Record<string, KeySpec>>;

const CERTIFICATE_DAYS = 3_650;

export const keystoreDir = (keys: LocalKeys): string => join(keys.signerDir, 'keystore');

export async function readPassphrase(keys: LocalKeys): Promise<string> {
  const passphrase = (await readFile(keys.passphraseFile, 'utf8')).trim();
  if (passphrase.length < 16) throw new Error(`${keys.passphraseFile}: a passphrase has at least 16 characters`);
  return passphrase;
}

/** Makes version 1 of every default key that has none, and of the `more` by kid. One signer at a time runs over a folder. */
export async function ensureSignerKeys(
  keys: LocalKeys,
  clock: Clock,
  more: Readonly<Record<string, KeySpec>> = {},
  token?: Token,
): Promise<void> {
  const have = new Set(await listKids(keystoreDir(keys)));
  const missing = Object.entries<KeySpec>({ ...DEFAULT_KEYS, ...more }).filter(([kid]) => !have.has(kid));
  await Promise.all(
    missing.map(([kid, spec]) =>
      createVersion(keys, clock, { kid, version: 1, ...spec, activateAtMs: clock.nowMs() }, token),
    ),
  );
}

/** Generates a key version, in the token where there is one that can hold it, has its certificate issued where its purpose has one, and stores it. */
export async function createVersion(
  keys: LocalKeys,
  clock: Clock,
  spec: KeySpec & { readonly kid: string; readonly version: number; readonly activateAtMs: number },
  token?: Token,
): Promise<KeyVersion> {
  const tokenAlg = TOKEN_ALGS.find((alg) => alg === spec.alg);
  const store = keystoreDir(keys);
  if (token !== undefined && tokenAlg !== undefined) {
    const { jwk, keyId } = await token.generate(tokenAlg, labelOf(spec));
    const meta = await describeVersion(keys, clock, spec, publicPartOfJwk(jwk));
    await storeTokenVersion(store, meta, keyId);
    return meta;
  }
  const privateKey = await generateKey(spec.alg);
  const meta = await describeVersion(keys, clock, spec, publicPartOf(privateKey));
  await storeVersion(store, await readPassphrase(keys), meta, privateKey);
  return meta;
}

async function describeVersion(
  keys: LocalKeys,
  clock: Clock,
  spec: KeySpec & { readonly kid: string; readonly version: number; readonly activateAtMs: number },
  publicPart: ReturnType<typeof publicPartOf>,
): Promise<KeyVersion> {
  const nowMs = clock.nowMs();
  return {
    kid: spec.kid,
    version: spec.version,
    purpose: spec.purpose,
    alg: spec.alg,
    ...(publicPart && { spki: Buffer.from(publicPart.spki).toString('base64'), jwk: publicPart.jwk }),
    chain: publicPart === undefined ? [] : await chainOf(keys, spec, publicPart.spki, nowMs),
    createdAt: new Date(nowMs).toISOString(),
    activateAt: new Date(spec.activateAtMs).toISOString(),
    ...(spec.digests === undefined ? {} : { digests: spec.digests }),
  };
}

async function chainOf(
  keys: LocalKeys,
  spec: { readonly kid: string; readonly version: number; readonly purpose: Purpose },
  spki: Uint8Array,
  nowMs: number,
): Promise<string[]> {
  const under = issuerOf(keys, spec.purpose);
  if (under === undefined) return [];
  const issuer = await readPair(under.root);
  const crlUrl = await crlUrlOf(keys, under.list);
  const commonName = `Proofline dev ${spec.kid} v${spec.version}`;
  return [
    await issueCertificate(issuer, { commonName, spki, entity: under.entity, nowMs, days: CERTIFICATE_DAYS, crlUrl }),
    issuer.cert,
  ];
}

/** Checkpoints and transactions are verified by bare keys, as their formats say; secrets by nobody. */
function issuerOf(
  keys: LocalKeys,
  purpose: Purpose,
): { readonly root: PairFiles; readonly list: ListedRoot; readonly entity: EndEntity } | undefined {
  switch (purpose) {
    case 'seal':
    case 'certificate':
    case 'pdf':
      return { root: keys.signingRoot, list: 'signing', entity: { kind: 'signing' } };
    case 'tsa':
      return { root: keys.tsaRoot, list: 'tsa', entity: { kind: 'time-stamping' } };
    case 'log-checkpoint':
    case 'tx-hedera':
    case 'tx-evm':
    case 'hmac':
    case 'decrypt':
      return undefined;
  }
}
