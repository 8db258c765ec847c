import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createSignerClient, type Signer } from '../../../activities/sealing/signer-client.ts';
import { systemClock } from '../../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../../domain/seal.ts';
import { formatCheckpointBody } from '../../../log/checkpoint.ts';
import { makeToken, resolveSoftHsm, type SoftHsm } from '../../../test/support/softhsm.ts';
import { localKeyPaths } from '../../keys/ensure-local-keys.ts';
import { openAdmin } from '../admin-client.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const PIN = '482913';

let dir: string;
let hsm: SoftHsm | undefined;
let env: Record<string, string>;
let child: ChildProcess | undefined;
const clients: Signer[] = [];

beforeAll(async () => {
  hsm = await resolveSoftHsm();
  dir = await mkdtemp(join(tmpdir(), 'proofline-token-'));
  if (hsm === undefined) return;
  const pinFile = join(dir, 'pin');
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 });
  env = {
    ...(await makeToken(dir, 'proofline', PIN)),
    PROOFLINE_KEYS_DIR: join(dir, 'keys'),
    PROOFLINE_SIGNER_PORT: '0',
    PROOFLINE_SIGNER_PKCS11_MODULE: hsm.library,
    PROOFLINE_SIGNER_PKCS11_BINDING: hsm.binding,
    PROOFLINE_SIGNER_PKCS11_PIN_FILE: pinFile,
  };
}, 600_000);
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  child?.kill('SIGKILL');
  await rm(dir, { recursive: true });
});

/** Starts the signer over the token; resolves to its address. Throws with what it said when it ends. */
async function start(change: Record<string, string> = {}): Promise<string> {
  child = spawn(process.execPath, [MAIN], { env: { ...env, ...change }, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    const url = /"event":"listening","url":"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(text);
}

async function stop(): Promise<void> {
  child?.kill('SIGTERM');
  if (child !== undefined && child.exitCode === null) await once(child, 'exit');
}

function open(url: string): Signer {
  const keys = localKeyPaths(join(dir, 'keys'));
  const files = { caFile: keys.transportCaFile, ...keys.clients.worker };
  const client = createSignerClient({ url, ...files, clock: systemClock() });
  clients.push(client);
  return client;
}

const seals = (count: number, version: number) => ({
  kid: 'seal',
  version,
  alg: 'ES256' as const,
  kind: 'tbs' as const,
  values: Array.from({ length: count }, (_, n) =>
    sealSigningInput(sealHeader('seal', version), Buffer.from(`{"n":${n}}`)),
  ),
  context: {},
});

/** A process of its own, since SoftHSM reads where its tokens are from the environment. */
const RSA_IN_TOKEN = `
import { constants, createPublicKey, verify } from 'node:crypto';
import { openToken } from ${JSON.stringify(fileURLToPath(new URL('./open-token.ts', import.meta.url)))};
const { TOKEN_BINDING: binding, TOKEN_LIBRARY: library, TOKEN_PIN: pin } = process.env;
const token = await openToken({ binding, library, pin, tokenLabel: 'proofline' });
const value = Buffer.from('attributes');
const verdicts = [];
for (const [alg, padding] of [['RS256', constants.RSA_PKCS1_PADDING], ['PS256', constants.RSA_PKCS1_PSS_PADDING]]) {
  const { keyId, jwk } = await token.generate(alg, 'pdf|1|pdf');
  const [signature] = await token.handleOf(alg, keyId).sign([value]);
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  verdicts.push(verify('sha256', value, { key, padding, saltLength: 32 }, signature));
}
console.log(JSON.stringify(verdicts));
await token.close();
`;

describe('keys in SoftHSM', () => {
  it('sign with RSA too, PKCS #1 v1.5 and PSS, as OpenSSL verifies', async () => {
    if (hsm === undefined) return;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', RSA_IN_TOKEN], {
      env: { ...env, TOKEN_BINDING: hsm.binding, TOKEN_LIBRARY: hsm.library, TOKEN_PIN: PIN },
    });
    expect(JSON.parse(stdout)).toEqual([true, true]);
  }, 30_000);

  it('sign a thousand seals and a checkpoint, which the client verifies, and no private key lies in a file', async () => {
    if (hsm === undefined) return;
    const client = open(await start());
    expect((await client.sign(seals(1_000, 1))).signatures).toHaveLength(1_000);
    const body = formatCheckpointBody({ origin: 'token.test/log', size: 1n, root: new Uint8Array(32) });
    const checkpoint = { kid: 'log', alg: 'EdDSA', kind: 'tbs', values: [Buffer.from(body)], context: {} } as const;
    expect((await client.sign(checkpoint)).signatures).toHaveLength(1);
    const file = JSON.parse(await readFile(join(dir, 'keys', 'signer', 'keystore', 'seal', '1.json'), 'utf8'));
    expect([file.sealed, file.token.keyId]).toEqual([undefined, expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(file.chain).toHaveLength(2);
    // Secrets stay in files.
    const { macs } = await client.mac({ kid: 'mac', values: [Buffer.from('x')] });
    expect(macs).toHaveLength(1);
  }, 60_000);

  it('rotate there, and are the same after a restart', async () => {
    if (hsm === undefined) return;
    const { kid, version } = { kid: 'seal', version: 1 };
    await stop();
    const url = await start();
    const keys = localKeyPaths(join(dir, 'keys'));
    const admin = await openAdmin({ url, caFile: keys.transportCaFile, ...keys.clients.admin });
    expect((await admin.rotate(kid, { after: version })).primaryVersion).toBe(2);
    await admin.close();
    const client = open(url);
    const before = await client.key(kid);
    expect((await client.sign(seals(3, 1))).version).toBe(1);
    expect((await client.sign(seals(3, 2))).version).toBe(2);
    await stop();
    const after = await open(await start()).key(kid);
    expect(after.versions.map((v) => v.jwk)).toEqual(before.versions.map((v) => v.jwk));
  }, 60_000);

  it('are not taken for one another: a file that names another object stops the signer', async () => {
    if (hsm === undefined) return;
    await stop();
    const store = join(dir, 'keys', 'signer', 'keystore');
    const [one, two] = [join(store, 'seal', '1.json'), join(store, 'seal', '2.json')];
    await copyFile(one, join(dir, 'kept.json'));
    const { token } = JSON.parse(await readFile(two, 'utf8'));
    await writeFile(one, JSON.stringify({ ...JSON.parse(await readFile(one, 'utf8')), token }));
    await expect(start()).rejects.toThrow('another key than this');
    await copyFile(join(dir, 'kept.json'), one);
  }, 60_000);

  it.each([
    ['a wrong PIN', 'PROOFLINE_SIGNER_PKCS11_PIN_FILE', 'CKR_PIN_INCORRECT'],
    ['no such token', 'PROOFLINE_SIGNER_PKCS11_TOKEN', 'no token'],
    ['no binding', 'PROOFLINE_SIGNER_PKCS11_BINDING', 'does not load'],
  ])(
    'are not there with %s, and the signer says so at its start',
    async (_, setting, reason) => {
      if (hsm === undefined) return;
      const wrong = join(dir, 'wrong');
      await writeFile(wrong, createHash('sha256').update('wrong').digest('hex').slice(0, 8));
      await expect(start({ [setting]: wrong })).rejects.toThrow(reason);
    },
    30_000,
  );
});
