/**
 * The keystore: one file per key version, the private key (PKCS #8, or the secret itself) under AES-256-GCM with a key
 * from scrypt over the passphrase. The associated data is `kid|version|purpose`, so a file moved to another's place does not open;
 * the public key is derived on load and compared with the one stored, so a swapped public half does not load either.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createSecretKey,
  type KeyObject,
  randomBytes,
  scrypt,
} from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BoundedMap } from '../../domain/timestamp/cache.ts';
import { writeDurably } from '../keys/write-durably.ts';
import type { KeyHandle } from './key-handle.ts';
import { ALGS_OF, isSymmetric, type KeyVersion, PURPOSES, type Purpose } from './key-version.ts';
import type { Token } from './pkcs11/open-token.ts';
import { TOKEN_ALGS } from './pkcs11/public-jwk.ts';
import { publicPartOf, publicPartOfJwk, softwareHandle } from './software-key.ts';

const FORMAT = 'proofline-keystore/1';
const SCRYPT = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const;
const VERSION_FILE = /^([1-9][0-9]{0,8})\.json$/;
const KID = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

/** A key version that can sign. */
export interface LoadedVersion {
  readonly meta: KeyVersion;
  readonly key: KeyHandle;
}

/** Either the private key, sealed, or where it lies in the token. */
interface KeyFile extends KeyVersion {
  readonly format: typeof FORMAT;
  readonly token?: { readonly keyId: string };
  readonly sealed?: { readonly salt: string; readonly iv: string; readonly tag: string; readonly ciphertext: string };
}

/** Writes a new key version, durably. */
export async function storeVersion(
  dir: string,
  passphrase: string,
  meta: KeyVersion,
  privateKey: KeyObject,
): Promise<void> {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', await stretch(passphrase, ownSalt), iv);
  cipher.setAAD(aadOf(meta));
  const ciphertext = Buffer.concat([
    cipher.update(
      privateKey.type === 'secret' ? privateKey.export() : privateKey.export({ type: 'pkcs8', format: 'der' }),
    ),
    cipher.final(),
  ]);
  const sealed = { salt: b64(ownSalt), iv: b64(iv), tag: b64(cipher.getAuthTag()), ciphertext: b64(ciphertext) };
  await writeDurably(
    fileOf(dir, meta.kid, meta.version),
    `${JSON.stringify({ format: FORMAT, ...meta, sealed }, undefined, 2)}\n`,
  );
}

/** Writes a version whose private key lies in the token, durably. */
export async function storeTokenVersion(dir: string, meta: KeyVersion, keyId: string): Promise<void> {
  const file: KeyFile = { format: FORMAT, ...meta, token: { keyId } };
  await writeDurably(fileOf(dir, meta.kid, meta.version), `${JSON.stringify(file, undefined, 2)}\n`);
}

/** Replaces the public part of a stored version (windows, withdrawal); kid, version, purpose and key stay. */
export async function updateVersion(
  dir: string,
  kid: string,
  version: number,
  change: Partial<KeyVersion>,
): Promise<void> {
  const file = fileOf(dir, kid, version);
  const old = parseKeyFile(await readFile(file, 'utf8'), file);
  const next: KeyFile = {
    ...old,
    ...change,
    kid,
    version,
    purpose: old.purpose,
    alg: old.alg,
    ...(old.spki === undefined ? {} : { spki: old.spki }),
    ...(old.jwk === undefined ? {} : { jwk: old.jwk }),
    ...(old.sealed === undefined ? {} : { sealed: old.sealed }),
    ...(old.token === undefined ? {} : { token: old.token }),
  };
  await writeDurably(file, `${JSON.stringify(next, undefined, 2)}\n`);
}

/** The public parts of a key's versions as stored, oldest first; opens nothing. */
export async function readVersions(dir: string, kid: string): Promise<KeyVersion[]> {
  const files = (await list(join(dir, kid))).filter((name) => VERSION_FILE.test(name));
  const versions = await Promise.all(
    files.map(async (name) => {
      const file = join(dir, kid, name);
      const { format: _, sealed: __, token: ___, ...meta } = parseKeyFile(await readFile(file, 'utf8'), file);
      return meta;
    }),
  );
  return versions.toSorted((a, b) => a.version - b.version);
}

/** Kids that have a folder. */
export async function listKids(dir: string): Promise<string[]> {
  return (await list(dir)).filter((name) => KID.test(name));
}

/**
 * Opens every version under `dir`, with `token` those that lie there. `known` may hold versions opened before: those whose ciphertext is unchanged are
 * not opened again. Throws when any file is not what its place says; nothing is loaded in part.
 */
export async function loadKeystore(
  dir: string,
  passphrase: string,
  known: ReadonlyMap<string, LoadedVersion> = new Map(),
  token?: Token,
): Promise<Map<string, LoadedVersion>> {
  const out = new Map<string, LoadedVersion>();
  const files: { readonly path: string; readonly kid: string; readonly version: number }[] = [];
  for (const kid of await listKids(dir)) {
    for (const name of await list(join(dir, kid))) {
      const version = VERSION_FILE.exec(name)?.[1];
      if (version !== undefined) files.push({ path: join(dir, kid, name), kid, version: Number(version) });
    }
  }
  const opened = await Promise.all(files.map((file) => openFile(file, passphrase, known, token)));
  for (const { id, loaded } of opened) out.set(id, loaded);
  return out;
}

async function openFile(
  at: { readonly path: string; readonly kid: string; readonly version: number },
  passphrase: string,
  known: ReadonlyMap<string, LoadedVersion>,
  token: Token | undefined,
): Promise<{ readonly id: string; readonly loaded: LoadedVersion }> {
  const { format: _, sealed, token: place, ...meta } = parseKeyFile(await readFile(at.path, 'utf8'), at.path);
  if (meta.kid !== at.kid || meta.version !== at.version)
    throw new Error(`${at.path}: holds ${meta.kid} version ${meta.version}`);
  const id = `${meta.kid}/${meta.version}/${meta.purpose}/${meta.alg}/${meta.spki}/${sealed?.tag ?? place?.keyId}`;
  const before = known.get(id);
  if (before !== undefined) return { id, loaded: { meta, key: before.key } };
  const key =
    sealed === undefined
      ? await openInToken(at.path, meta, place?.keyId ?? '', token)
      : await openSealed(at.path, meta, sealed, passphrase);
  return { id, loaded: { meta, key } };
}

/** The object must bear the version's name and be its public key. */
async function openInToken(
  path: string,
  meta: KeyVersion,
  keyId: string,
  token: Token | undefined,
): Promise<KeyHandle> {
  const alg = TOKEN_ALGS.find((one) => one === meta.alg);
  if (token === undefined || alg === undefined)
    throw new Error(`${path}: its key lies in a token, and none is configured`);
  const { label, jwk } = await token.describe(alg, keyId);
  if (label !== labelOf(meta) || !samePublicPart(meta, publicPartOfJwk(jwk)))
    throw new Error(`${path}: the token holds ${label}, another key than this`);
  return token.handleOf(alg, keyId);
}

async function openSealed(
  path: string,
  meta: KeyVersion,
  sealed: NonNullable<KeyFile['sealed']>,
  passphrase: string,
): Promise<KeyHandle> {
  let der: Buffer;
  try {
    const decipher = createDecipheriv(
      'aes-256-gcm',
      await stretch(passphrase, Buffer.from(sealed.salt, 'base64')),
      Buffer.from(sealed.iv, 'base64'),
    );
    decipher.setAAD(aadOf(meta));
    decipher.setAuthTag(Buffer.from(sealed.tag, 'base64'));
    der = Buffer.concat([decipher.update(Buffer.from(sealed.ciphertext, 'base64')), decipher.final()]);
  } catch (cause) {
    throw new Error(`${path}: does not open as ${meta.kid} version ${meta.version} for ${meta.purpose}`, { cause });
  }
  const key = isSymmetric(meta.alg)
    ? createSecretKey(der)
    : createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  if (!samePublicPart(meta, publicPartOf(key)))
    throw new Error(`${path}: the public key stored is not the one of the private key`);
  return softwareHandle(meta.alg, key);
}

function samePublicPart(meta: KeyVersion, derived: ReturnType<typeof publicPartOf>): boolean {
  const spki = derived === undefined ? undefined : b64(derived.spki);
  return spki === meta.spki && JSON.stringify(derived?.jwk) === JSON.stringify(meta.jwk);
}

function parseKeyFile(text: string, path: string): KeyFile {
  const file = JSON.parse(text) as KeyFile;
  const { sealed } = file;
  const whole =
    file.format === FORMAT &&
    (PURPOSES as readonly Purpose[]).includes(file.purpose) &&
    ALGS_OF[file.purpose].includes(file.alg) &&
    [file.kid, file.createdAt, file.activateAt].every((s) => typeof s === 'string') &&
    (sealed === undefined
      ? /^[0-9a-f]{32}$/.test(`${file.token?.keyId}`)
      : [sealed.salt, sealed.iv, sealed.tag, sealed.ciphertext].every((s) => typeof s === 'string') &&
        Buffer.from(sealed.tag, 'base64').length === 16);
  if (!whole) throw new Error(`${path}: is not a ${FORMAT} file`);
  return file;
}

/** One salt for what a process writes: each file has a nonce of its own, and the keystore opens with one stretch. */
const ownSalt = randomBytes(16);
const stretched = new BoundedMap<Promise<Buffer>>(64);

function stretch(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  const name = createHash('sha256').update(salt).update(passphrase).digest('base64');
  return stretched.getOrMake(
    name,
    () =>
      new Promise((resolve, reject) => {
        scrypt(passphrase, salt, 32, SCRYPT, (error, key) => (error === null ? resolve(key) : reject(error)));
      }),
  );
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw cause;
  });
}

/** What names a version where its private key lies. */
export const labelOf = (meta: Pick<KeyVersion, 'kid' | 'version' | 'purpose'>): string =>
  `${meta.kid}|${meta.version}|${meta.purpose}`;
const aadOf = (meta: Pick<KeyVersion, 'kid' | 'version' | 'purpose'>): Buffer => Buffer.from(labelOf(meta));
const fileOf = (dir: string, kid: string, version: number): string => join(dir, kid, `${version}.json`);
const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
