import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createTsaPool, type TsaPool } from '../../activities/timestamping/tsa-pool.ts';
import { systemClock } from '../../domain/clock.ts';
import { readTimestampToken } from '../../domain/timestamp/token.ts';
import { type LocalKeys, localKeyPaths } from '../keys/ensure-local-keys.ts';
import { rotateKey } from '../signer/admin.ts';
import { type RunningSigner, startSigner } from '../signer/start-signer.ts';
import { LOCAL_TSA_POLICY } from './policy.ts';

let dir: string;
let keys: LocalKeys;
let signer: RunningSigner;
let tsa: ChildProcess;
let url: string;
let pool: TsaPool;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-tsa-'));
  keys = localKeyPaths(dir);
  signer = await startSigner({ dir, port: 0, host: '127.0.0.1', clock: systemClock(), log: () => {} });
  tsa = spawn(process.execPath, ['local/tsa/main.ts'], {
    env: {
      PATH: process.env.PATH,
      PROOFLINE_TSA_PORT: '0',
      PROOFLINE_SIGNER_URL: signer.url,
      PROOFLINE_SIGNER_CA_FILE: keys.transportCaFile,
      PROOFLINE_SIGNER_CERT_FILE: keys.clients.tsa.certFile,
      PROOFLINE_SIGNER_KEY_FILE: keys.clients.tsa.keyFile,
      PROOFLINE_TSA_ROOT_CERT_FILE: keys.tsaRoot.certFile,
      PROOFLINE_TSA_ROOT_KEY_FILE: keys.tsaRoot.keyFile,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: tsa.stdout as NodeJS.ReadableStream })) {
    const said = JSON.parse(line) as { event?: string; url?: string };
    if (said.event !== 'listening') continue;
    url = said.url ?? '';
    break;
  }
  pool = createTsaPool({
    tsas: [
      {
        name: 'local',
        url,
        policies: [LOCAL_TSA_POLICY],
        roots: [await readFile(keys.tsaRoot.certFile, 'utf8')],
        crls: [await readFile(keys.tsaRoot.crlFile, 'utf8')],
        selfOperated: true,
        bucket: { capacity: 1_000, refillMs: 1 },
      },
    ],
    clock: systemClock(),
    random: (length) => new Uint8Array(randomBytes(length)),
    isSerialUnused: async () => true,
    breaker: { failures: 1_000, openMs: 1, maxOpenMs: 1 },
  });
});
afterAll(async () => {
  await pool.close();
  const gone = once(tsa, 'exit');
  tsa.kill('SIGTERM');
  expect((await gone)[0]).toBe(0);
  await signer.stop();
  await rm(dir, { recursive: true, force: true });
});

it('stamps with the key behind the signer, good by the list of the local root', async () => {
  const stamped = await pool.stamp(new Uint8Array(createHash('sha256').update('a checkpoint').digest()));
  expect(stamped).toMatchObject({ tsa: 'local', policy: LOCAL_TSA_POLICY, revocation: 'good' });
});

it('goes on with the next version of its key, asking for it as soon as the old one is refused', async () => {
  const before = await signerSerial();
  await rotateKey(dir, 'tsa', systemClock(), { overlapMs: 0 });
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline && (await signerSerial().catch(() => before)) === before) await delay(50);
  expect(await signerSerial()).not.toBe(before);
});

it('can be told to use a wrong certificate, since it was given its root', async () => {
  await fetch(`${url}admin/fault`, { method: 'PUT', body: JSON.stringify({ kind: 'eku-extra', times: 1 }) });
  const imprint = new Uint8Array(32);
  await expect(pool.stamp(imprint)).rejects.toMatchObject({
    code: 'TSA_BAD_TOKEN',
    detail: expect.stringContaining('8 PURPOSE_NOT_TIMESTAMPING'),
  });
  expect((await pool.stamp(imprint)).tsa).toBe('local');
});

/** Serial number of the certificate that signed a fresh token. */
async function signerSerial(): Promise<string> {
  const { token } = await pool.stamp(new Uint8Array(randomBytes(32)));
  const certificates = readTimestampToken(token).certificates.map((der) => new X509Certificate(der));
  return certificates.find(({ ca }) => !ca)?.serialNumber ?? '';
}
