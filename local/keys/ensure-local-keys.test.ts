import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Clock } from '../../domain/clock.ts';
import { issueCertificate, newPrivateKey, publicKeyOf } from './certificates.ts';
import { ensureLocalKeys, readPair } from './ensure-local-keys.ts';

const DAY_MS = 86_400_000;
const at = (ms: number): Clock => ({
  nowMs: () => ms,
  nowMicros: () => new Date(ms).toISOString().replace('Z', '000Z'),
});
const NOW = Date.UTC(2026, 10, 23);

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-keys-'));
});
afterAll(() => rm(dir, { recursive: true }));

async function contents(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')] as const)));
}

describe('local keys', () => {
  it('are made once, by two processes at once too, readable by their owner alone', async () => {
    const folder = join(dir, 'once');
    const [keys] = await Promise.all([ensureLocalKeys(folder, at(NOW)), ensureLocalKeys(folder, at(NOW))]);
    const before = await contents(folder);
    await ensureLocalKeys(folder, at(NOW + DAY_MS));
    expect(await contents(folder)).toEqual(before);
    expect([...before.keys()].filter((file) => file.includes('.tmp'))).toEqual([]);
    for (const file of before.keys()) expect((await stat(file)).mode & 0o777).toBe(0o600);
    for (const pair of [keys.signerServer, ...Object.values(keys.clients), keys.signingRoot, keys.tsaRoot]) {
      const { cert, key } = await readPair(pair);
      expect(createPublicKey(key).equals(new X509Certificate(cert).publicKey)).toBe(true);
    }
  });

  it('say "dev" in every subject, and every root stands alone', async () => {
    const keys = await ensureLocalKeys(join(dir, 'dev'), at(NOW));
    const roots = await Promise.all(
      [keys.transportCaFile, keys.signingRoot.certFile, keys.tsaRoot.certFile].map((file) => readFile(file, 'utf8')),
    );
    for (const root of roots) expect(new X509Certificate(root).subject).toContain('dev');
    expect(new Set(roots.map((root) => new X509Certificate(root).fingerprint256)).size).toBe(3);
    const worker = new X509Certificate(await readFile(keys.clients.worker.certFile));
    expect(roots.map((root) => worker.verify(new X509Certificate(root).publicKey))).toEqual([true, false, false]);
  });

  it('renew a TLS certificate within 30 days of its end and keep its key', async () => {
    const folder = join(dir, 'renew');
    const keys = await ensureLocalKeys(folder, at(NOW));
    const before = await readPair(keys.clients.worker);
    await ensureLocalKeys(folder, at(NOW + 334 * DAY_MS));
    expect(await readPair(keys.clients.worker)).toEqual(before);
    await ensureLocalKeys(folder, at(NOW + 336 * DAY_MS));
    const after = await readPair(keys.clients.worker);
    expect(after.key).toBe(before.key);
    expect(new X509Certificate(after.cert).validToDate.getTime()).toBe(NOW + (336 + 365) * DAY_MS);
  });

  it('give the issuer of licences a private JWK and its public set', async () => {
    const { licenseIssuer } = await ensureLocalKeys(join(dir, 'issuer'), at(NOW));
    const key = JSON.parse(await readFile(licenseIssuer.keyFile, 'utf8'));
    const { keys } = JSON.parse(await readFile(licenseIssuer.jwksFile, 'utf8'));
    const { d, ...publicPart } = key;
    expect(typeof d).toBe('string');
    expect(keys).toEqual([publicPart]);
  });

  it('issue a timestamp certificate that openssl accepts for that purpose and no other', async () => {
    const keys = await ensureLocalKeys(join(dir, 'tsa'), at(Date.now()));
    const issuer = await readPair(keys.tsaRoot);
    const spki = await publicKeyOf(newPrivateKey());
    const spec = {
      commonName: 'dev tsa',
      spki,
      entity: { kind: 'time-stamping' },
      nowMs: Date.now(),
      days: 1,
    } as const;
    const leaf = join(dir, 'tsa.pem');
    await writeFile(leaf, await issueCertificate(issuer, spec));
    const verify = (purpose: string): string =>
      execFileSync(
        'openssl',
        [
          'verify',
          '-x509_strict',
          '-purpose',
          purpose,
          '-crl_check',
          '-CRLfile',
          keys.tsaRoot.crlFile,
          '-CAfile',
          keys.tsaRoot.certFile,
          leaf,
        ],
        { encoding: 'utf8', stdio: 'pipe' },
      );
    expect(verify('timestampsign')).toContain('OK');
    expect(() => verify('sslclient')).toThrow();
    const text = execFileSync('openssl', ['x509', '-in', leaf, '-noout', '-ext', 'extendedKeyUsage,keyUsage'], {
      encoding: 'utf8',
    });
    expect(text.replaceAll(/\s+/g, ' ')).toBe(
      'X509v3 Key Usage: critical Digital Signature X509v3 Extended Key Usage: critical Time Stamping ',
    );
  });
});
