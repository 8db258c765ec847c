import type { KeyObject } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ALGS_OF, type KeyAlg, type KeyVersion, type Purpose } from './key-version.ts';
import { loadKeystore, storeVersion } from './keystore.ts';
import { generateKey, publicPartOf } from './software-key.ts';

const PASSPHRASE = 'correct horse battery staple';
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-keystore-'));
});
afterEach(() => rm(dir, { recursive: true }));

async function store(kid: string, version: number, purpose: Purpose, alg: KeyAlg = 'ES256'): Promise<KeyObject> {
  const key = await generateKey(alg);
  const publicPart = publicPartOf(key);
  const when = '2026-11-23T00:00:00.000Z';
  const meta: KeyVersion = {
    kid,
    version,
    purpose,
    alg,
    ...(publicPart && { spki: Buffer.from(publicPart.spki).toString('base64'), jwk: publicPart.jwk }),
    chain: [],
    createdAt: when,
    activateAt: when,
  };
  await storeVersion(dir, PASSPHRASE, meta, key);
  return key;
}

const fileOf = (kid: string, version: number): string => join(dir, kid, `${version}.json`);

async function edit(file: string, change: (content: Record<string, unknown>) => void): Promise<void> {
  const content = JSON.parse(await readFile(file, 'utf8'));
  change(content);
  await writeFile(file, JSON.stringify(content));
}

describe('keystore', () => {
  it('gives back what was stored and holds no private key in the clear', async () => {
    const key = await store('seal', 1, 'seal');
    await store('seal', 2, 'seal');
    const loaded = [...(await loadKeystore(dir, PASSPHRASE)).values()];
    expect(loaded.map(({ meta }) => `${meta.kid}@${meta.version}`)).toEqual(['seal@1', 'seal@2']);
    const { d } = key.export({ format: 'jwk' });
    expect(await readFile(fileOf('seal', 1), 'utf8')).not.toContain(d);
  });

  it('keeps every kind of key that a purpose may have, secrets without a public half', async () => {
    const kinds = Object.entries(ALGS_OF).flatMap(([purpose, algs]) => algs.map((alg) => ({ purpose, alg })));
    await Promise.all(kinds.map(({ purpose, alg }, n) => store(`k${n}`, 1, purpose as Purpose, alg)));
    const loaded = [...(await loadKeystore(dir, PASSPHRASE)).values()];
    expect(loaded).toHaveLength(kinds.length);
    for (const { meta, key } of loaded) {
      const value = Buffer.from('value');
      if (meta.alg === 'HS256') expect((await key.mac([value]))[0]).toHaveLength(32);
      else if (meta.purpose === 'decrypt') await expect(key.sign([value])).rejects.toThrow('does not sign');
      else expect((await key.sign([value]))[0]?.length).toBeGreaterThanOrEqual(64);
      expect(meta.jwk === undefined).toBe(meta.alg === 'HS256' || meta.alg === 'A256GCM');
    }
  });

  it('refuses a key whose algorithm its purpose does not have', async () => {
    await store('seal', 1, 'seal', 'RS256');
    await expect(loadKeystore(dir, PASSPHRASE)).rejects.toThrow('is not a proofline-keystore/1 file');
  });

  it('does not open with another passphrase', async () => {
    await store('seal', 1, 'seal');
    await expect(loadKeystore(dir, `${PASSPHRASE}!`)).rejects.toThrow('does not open as seal version 1 for seal');
  });

  it('refuses a version put in the place of another', async () => {
    await store('seal', 1, 'seal');
    await store('seal', 2, 'seal');
    await copyFile(fileOf('seal', 1), fileOf('seal', 2));
    await expect(loadKeystore(dir, PASSPHRASE)).rejects.toThrow('holds seal version 1');
  });

  it.each([
    ['version', 2],
    ['purpose', 'certificate'],
  ])('refuses a file whose %s was changed to fit its new place', async (member, value) => {
    await store('seal', 1, 'seal');
    await edit(fileOf('seal', 1), (content) => {
      content[member] = value;
    });
    if (member === 'version') await copyFile(fileOf('seal', 1), fileOf('seal', 2)).then(() => rm(fileOf('seal', 1)));
    await expect(loadKeystore(dir, PASSPHRASE)).rejects.toThrow('does not open as');
  });

  it('refuses a private key whose public half was replaced', async () => {
    await store('seal', 1, 'seal');
    await store('certificate', 1, 'certificate');
    const other = JSON.parse(await readFile(fileOf('certificate', 1), 'utf8'));
    await edit(fileOf('seal', 1), (content) => {
      content.spki = other.spki;
      content.jwk = other.jwk;
    });
    await expect(loadKeystore(dir, PASSPHRASE)).rejects.toThrow(
      'the public key stored is not the one of the private key',
    );
  });

  it('refuses a ciphertext with one bit flipped', async () => {
    await store('seal', 1, 'seal');
    await edit(fileOf('seal', 1), (content) => {
      const sealed = content.sealed as Record<string, string>;
      const bytes = Buffer.from(sealed.ciphertext ?? '', 'base64');
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      content.sealed = { ...sealed, ciphertext: bytes.toString('base64') };
    });
    await expect(loadKeystore(dir, PASSPHRASE)).rejects.toThrow('does not open');
  });
});
