import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, request } from 'undici';
import { createSignerClient } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { formatCheckpointBody } from '../../log/checkpoint.ts';
import { createRoot, issueCertificate, newPrivateKey, publicKeyOf } from '../keys/certificates.ts';
import { ensureLocalKeys, readPair } from '../keys/ensure-local-keys.ts';
import { rotateKey, withdrawVersion } from './admin.ts';
import { createSign, openRemoteKey } from './sign-with.ts';
import { type RunningSigner, startSigner } from './start-signer.ts';
import { pdfAttributes, tokenAttributes } from './test-attributes.ts';
import { writeTransactionPolicy } from './transaction-policy.ts';

const clock = systemClock();
let dir: string;
let signer: RunningSigner;
const agents: Agent[] = [];
let worker: Agent;
let tsa: Agent;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
  signer = await startSigner({
    dir,
    clock,
    moreKeys: { 'pdf-rsa': { purpose: 'pdf', alg: 'RS256' }, 'pdf-pss': { purpose: 'pdf', alg: 'PS256' } },
  });
  worker = await agentOf(await readPair(signer.keys.clients.worker));
  tsa = await agentOf(await readPair(signer.keys.clients.tsa));
});
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.destroy()));
  await signer.stop();
  await rm(dir, { recursive: true });
});

async function agentOf(pair: { readonly cert: string; readonly key: string } | undefined): Promise<Agent> {
  const agent = new Agent({ connect: { ca: await readFile(signer.keys.transportCaFile), ...pair } });
  agents.push(agent);
  return agent;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
  readonly etag: string | undefined;
}

async function call(agent: Agent, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const key = createHash('sha256').update(`${path}${text}`).digest('hex');
  const response = await request(`${signer.url}${path}`, {
    dispatcher: agent,
    method: text === undefined ? 'GET' : 'POST',
    headers: text === undefined ? headers : { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
    ...(text === undefined ? {} : { body: text }),
  });
  const answer = await response.body.text();
  return {
    status: response.statusCode,
    text: answer,
    json: answer === '' ? {} : JSON.parse(answer),
    etag: response.headers.etag as string | undefined,
  };
}

const b64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url');
const sealInput = (n: number | string, version = 1): string =>
  b64(sealSigningInput(sealHeader('seal', version), Buffer.from(`{"n":"${n}"}`)));
const tbs = (alg: string, values: readonly string[], more = {}) => ({
  alg,
  input: { kind: 'tbs', values },
  context: {},
  ...more,
});
const checkpoint = (size: bigint, fill: number): string =>
  b64(formatCheckpointBody({ origin: 'signer.test/log', size, root: new Uint8Array(32).fill(fill) }));

describe('signer/1', () => {
  it('answers a client on the list and names itself a development signer', async () => {
    const { status, json } = await call(worker, '/v1/info');
    expect(status).toBe(200);
    expect(json).toEqual(expect.objectContaining({ protocol: 'signer/1', dev: true }));
  });

  it('refuses a client without a certificate, one of another root, and TLS 1.2', async () => {
    const root = await createRoot('another root', clock.nowMs());
    const key = newPrivateKey();
    const spec = {
      commonName: 'proofline-worker',
      spki: await publicKeyOf(key),
      entity: { kind: 'tls-client' },
      nowMs: clock.nowMs(),
      days: 1,
    } as const;
    await expect(call(await agentOf(undefined), '/v1/info')).rejects.toThrow();
    await expect(call(await agentOf({ cert: await issueCertificate(root, spec), key }), '/v1/info')).rejects.toThrow();
    const { port } = new URL(signer.url);
    const old = connect({
      port: Number(port),
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      ca: await readFile(signer.keys.transportCaFile),
      ...(await readPair(signer.keys.clients.worker)),
    });
    await expect(new Promise((_, reject) => old.once('error', reject))).rejects.toThrow(/protocol version/);
  });

  it('refuses a certificate of its own root that is not on the list', async () => {
    const root = await readPair({
      certFile: signer.keys.transportCaFile,
      keyFile: join(dir, 'ca', 'transport', 'key.pem'),
    });
    const key = newPrivateKey();
    const spec = {
      commonName: 'somebody',
      spki: await publicKeyOf(key),
      entity: { kind: 'tls-client' },
      nowMs: clock.nowMs(),
      days: 1,
    } as const;
    const { status, json } = await call(await agentOf({ cert: await issueCertificate(root, spec), key }), '/v1/keys');
    expect([status, json.code, json.retryable]).toEqual([403, 'client_not_allowed', false]);
  });

  it('lets each client use its own purposes alone', async () => {
    expect((await call(tsa, '/v1/keys/seal/sign', tbs('ES256', [sealInput('tsa')]))).json.code).toBe(
      'client_not_allowed',
    );
    expect((await call(worker, '/v1/keys/tsa/sign', tbs('ES256', [b64(tokenAttributes())]))).json.code).toBe(
      'client_not_allowed',
    );
  });

  it('shows every key with state, window, certificate chain, and an ETag that spares the body', async () => {
    const { json, etag } = await call(worker, '/v1/keys');
    const keys = json.keys as {
      kid: string;
      purpose: string;
      primaryVersion: number;
      versions: Record<string, unknown>[];
    }[];
    expect(keys.map((k) => `${k.kid}:${k.purpose}:${k.versions.length}`)).toEqual([
      'certificate:certificate:1',
      'hedera-payer:tx-hedera:1',
      'hedera-submit:tx-hedera:1',
      'log:log-checkpoint:1',
      'pdf:pdf:1',
      'pdf-pss:pdf:1',
      'pdf-rsa:pdf:1',
      'seal:seal:1',
      'tsa:tsa:1',
    ]);
    expect(keys.find((k) => k.kid === 'seal')?.versions[0]).toEqual(
      expect.objectContaining({
        version: 1,
        state: 'active',
        alg: 'ES256',
        activateAt: expect.any(String),
        chain: [expect.any(String), expect.any(String)],
      }),
    );
    expect(JSON.stringify(json)).not.toMatch(/"d":|sealed|ciphertext/);
    expect(await call(worker, '/v1/keys', undefined, { 'if-none-match': etag ?? '' })).toEqual(
      expect.objectContaining({ status: 304, text: '' }),
    );
    expect((await call(worker, '/v1/keys/none')).status).toBe(404);
  });

  it('signs a thousand values in order, each verifiable under the key shown', async () => {
    const values = Array.from({ length: 1_000 }, (_, n) => sealInput(n));
    const { json } = await call(worker, '/v1/keys/seal/sign', tbs('ES256', values, { version: 1 }));
    const signatures = json.signatures as string[];
    const { json: key } = await call(worker, '/v1/keys/seal');
    const [{ jwk, spki }] = key.versions as [{ jwk: Record<string, string>; spki: string }];
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    expect(publicKey.export({ type: 'spki', format: 'der' }).toString('base64')).toBe(spki);
    const verdicts = signatures.map((s, n) =>
      verify(
        'sha256',
        Buffer.from(values[n] ?? '', 'base64url'),
        { key: publicKey, dsaEncoding: 'ieee-p1363' },
        Buffer.from(s, 'base64url'),
      ),
    );
    expect(verdicts).toEqual(new Array(1_000).fill(true));
  });

  it('replays an answer byte for byte, to twins in flight too, and refuses the key with another request', async () => {
    const body = tbs('ES256', [sealInput('replay')]);
    const [first, twin] = await Promise.all([
      call(worker, '/v1/keys/seal/sign', body),
      call(worker, '/v1/keys/seal/sign', body),
    ]);
    const later = await call(worker, '/v1/keys/seal/sign', body);
    expect([twin.text, later.text]).toEqual([first.text, first.text]);
    const key = 'ab'.repeat(32);
    await call(worker, '/v1/keys/seal/sign', body, { 'idempotency-key': key });
    const other = await call(worker, '/v1/keys/seal/sign', tbs('ES256', [sealInput('other')]), {
      'idempotency-key': key,
    });
    expect([other.status, other.json.code]).toEqual([409, 'idempotency_conflict']);
  });

  it('refuses a checkpoint behind the last, or a second tree of one size, and tells what it remembers', async () => {
    expect((await call(worker, '/v1/log-memory/signer.test%2Flog')).status).toBe(404);
    expect((await call(worker, '/v1/keys/log/sign', tbs('EdDSA', [checkpoint(9n, 1)]))).status).toBe(200);
    for (const bad of [checkpoint(8n, 1), checkpoint(9n, 2)]) {
      const { status, json } = await call(worker, '/v1/keys/log/sign', tbs('EdDSA', [bad]));
      expect([status, json.code, json.retryable, json.lastSize]).toEqual([409, 'log_rollback', false, '9']);
    }
    expect((await call(worker, '/v1/log-memory/signer.test%2Flog')).json).toEqual({
      origin: 'signer.test/log',
      size: '9',
      root: b64(new Uint8Array(32).fill(1)),
    });
  });

  it.each([
    ['a seal input that names another version', 'seal', 'ES256', sealInput('x', 2), 'value_refused'],
    ['a bare statement', 'seal', 'ES256', b64('{"a":1}'), 'value_refused'],
    [
      'a certificate under the seal key',
      'seal',
      'ES256',
      b64(`${b64('{"alg":"ES256","kid":"certificate@1","typ":"proofline-certificate+jwt"}')}.e30`),
      'value_refused',
    ],
    ['a seal under the certificate key', 'certificate', 'ES256', sealInput('x'), 'value_refused'],
    ['text that is no checkpoint', 'log', 'EdDSA', b64('log\n1\n'), 'value_refused'],
    ['another algorithm', 'seal', 'EdDSA', sealInput('x'), 'alg_not_allowed'],
    ['a transaction as plain bytes', 'hedera-payer', 'EdDSA', b64('x'), 'blind_signing_refused'],
    ['a value that is not base64url', 'seal', 'ES256', 'ab=', 'value_refused'],
  ])('does not sign %s', async (_, kid, alg, value, code) => {
    expect((await call(worker, `/v1/keys/${kid}/sign`, tbs(alg, [value]))).json.code).toBe(code);
  });

  it.each([
    ['pdf', 'ES256'],
    ['pdf-rsa', 'RS256'],
    ['pdf-pss', 'PS256'],
  ] as const)('signs the attributes of a PDF under %s and no others', async (kid, alg) => {
    const client = createSignerClient({
      url: signer.url,
      caFile: signer.keys.transportCaFile,
      ...signer.keys.clients.worker,
      clock,
    });
    const { versions } = await client.key(kid);
    const certificate = new Uint8Array(new X509Certificate(versions[0]?.chain[0] ?? '').raw);
    const document = Buffer.from('what /ByteRange covers');
    const values = [pdfAttributes({ document, certificate })];
    const docDigest = createHash('sha256').update(document).digest('hex');
    const request = { kid, alg, kind: 'tbs', values } as const;
    // The client verifies the signature.
    expect((await client.sign({ ...request, context: { docDigest } })).signatures).toHaveLength(1);
    for (const context of [{}, { docDigest: 'ab'.repeat(32) }] as Record<string, string>[])
      await expect(client.sign({ ...request, context })).rejects.toThrow('blind_signing_refused');
    await client.close();
  });

  it('names the value that it refuses among others', async () => {
    const { json } = await call(
      worker,
      '/v1/keys/seal/sign',
      tbs('ES256', [sealInput(1), sealInput(2), b64('no'), sealInput(3)]),
    );
    expect([json.code, json.index]).toEqual(['value_refused', 2]);
  });

  it('does not sign a digest that it did not compute', async () => {
    const { json } = await call(worker, '/v1/keys/seal/sign', {
      alg: 'ES256',
      input: { kind: 'digest', values: [b64(new Uint8Array(32))] },
    });
    expect(json.code).toBe('blind_signing_refused');
  });

  it.each([
    ['an unknown member', { ...tbs('ES256', [sealInput(1)]), extra: 1 }, 400, 'request_malformed'],
    ['no values', tbs('ES256', []), 400, 'request_malformed'],
    ['1,001 values', tbs('ES256', new Array(1_001).fill('AA')), 400, 'request_malformed'],
    ['a value above 64 KiB', tbs('ES256', [b64(new Uint8Array(65_537))]), 422, 'value_refused'],
    ['a body above 8 MiB', tbs('ES256', [b64(new Uint8Array(7 * 1024 * 1024))]), 413, 'body_too_large'],
  ])('refuses %s', async (_, body, status, code) => {
    const { json, ...answer } = await call(worker, '/v1/keys/seal/sign', body);
    expect([answer.status, json.code]).toEqual([status, code]);
  });

  it('wants an idempotency key of 64 hex digits and a path it knows', async () => {
    expect(
      (await call(worker, '/v1/keys/seal/sign', tbs('ES256', [sealInput(1)]), { 'idempotency-key': 'x' })).json.code,
    ).toBe('request_malformed');
    for (const path of ['/', '/v2/info', '/v1/keys/seal/export', '/v1/keys/seal/sign/more', '/v1/nothing'])
      expect((await call(worker, path)).status).toBe(404);
    expect((await call(worker, '/v1/keys/seal/sign')).status).toBe(405);
  });

  it('signs no transaction without a policy and takes a new policy at once', async () => {
    const refusal = async () =>
      (await call(worker, '/v1/keys/hedera-payer/sign-transaction', { kind: 'hedera', bodies: [b64('x')] })).json
        .detail;
    expect(await refusal()).toMatch(/no usable policy/);
    await writeTransactionPolicy(signer.policyFile, { hedera: { topics: ['0.0.1'], maxFeeTinybars: '1' } });
    expect(await refusal()).toMatch(/is not a transaction body/);
    await writeFile(signer.policyFile, '{"hedera":');
    expect(await refusal()).toMatch(/no usable policy/);
  });

  it('takes a rotated key without a restart and lets the old version finish what names it', async () => {
    const before = await call(worker, '/v1/keys/certificate');
    await rotateKey(dir, 'certificate', clock);
    const after = await until(
      async () => (await call(worker, '/v1/keys/certificate')).json,
      (key) => key.primaryVersion === 2,
    );
    expect(
      (after.versions as { state: string; notSignAfter?: string }[]).map((v) => [
        v.state,
        v.notSignAfter !== undefined,
      ]),
    ).toEqual([
      ['active', true],
      ['active', false],
    ]);
    expect(before.json.primaryVersion).toBe(1);
    await withdrawVersion(dir, 'certificate', 1, 'compromised', clock);
    await until(
      async () => (await call(worker, '/v1/keys/certificate')).json,
      (key) => (key.versions as { state: string }[])[0]?.state === 'compromised',
    );
    const header = b64('{"alg":"ES256","kid":"certificate@1","typ":"proofline-certificate+jwt"}');
    const { json } = await call(
      worker,
      '/v1/keys/certificate/sign',
      tbs('ES256', [b64(`${header}.e30`)], { version: 1 }),
    );
    expect([json.code, json.retryable]).toEqual(['key_not_active', true]);
  });

  it('signs for the local authority in the form of CMS', async () => {
    const files = { url: signer.url, caFile: signer.keys.transportCaFile, ...signer.keys.clients.tsa };
    const attributes = tokenAttributes();
    const key = await openRemoteKey({ ...files, kid: 'tsa', alg: 'ES256' });
    const der = await createSign({ ...files, kid: 'tsa', alg: 'ES256', form: 'der' })(attributes);
    expect(verify('sha256', attributes, key.chain[0] ?? '', der)).toBe(true);
    await key.close();
    await expect(createSign({ ...files, kid: 'seal', alg: 'ES256' })(attributes)).rejects.toThrow('client_not_allowed');
  });

  it('starts neither in production nor over a keystore that does not open', async () => {
    await expect(startSigner({ dir, clock, environment: 'production' })).rejects.toThrow('NODE_ENV=production');
    const other = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
    const first = await startSigner({ dir: other, clock });
    await first.stop();
    const { passphraseFile } = await ensureLocalKeys(other, clock);
    await writeFile(passphraseFile, 'another passphrase than the one before');
    await expect(startSigner({ dir: other, clock })).rejects.toThrow('does not open');
    await rm(other, { recursive: true });
  });
});

async function until<T>(read: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const value = await read();
    if (isDone(value)) return value;
    if (Date.now() > end) throw new Error(`still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
