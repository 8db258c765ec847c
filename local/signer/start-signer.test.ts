import { constants, createHash, createPublicKey, publicEncrypt, verify, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { AccountId, ContractExecuteTransaction, Hbar, PrivateKey, PublicKey, TransactionId } from '@hashgraph/sdk';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, request } from 'undici';
import { createSignerClient } from '../../activities/sealing/signer-client.ts';
import { systemClock } from '../../domain/clock.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { verifyTimestampResponse } from '../../domain/timestamp/verify-token.ts';
import { formatCheckpointBody } from '../../log/checkpoint.ts';
import { createRoot, issueCertificate, newPrivateKey, publicKeyOf } from '../keys/certificates.ts';
import { ensureLocalKeys, readPair } from '../keys/ensure-local-keys.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { rotateKey, withdrawVersion } from './admin.ts';
import { selectorOf } from './contract-call.ts';
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
let admin: Agent;
const events: Readonly<Record<string, unknown>>[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-signer-'));
  signer = await startSigner({
    dir,
    clock,
    log: (event) => events.push(event),
    moreKeys: {
      'pdf-rsa': { purpose: 'pdf', alg: 'RS256' },
      'pdf-pss': { purpose: 'pdf', alg: 'PS256' },
      'seal-digests': { purpose: 'seal', alg: 'ES256', digests: true },
      'hedera-ecdsa': { purpose: 'tx-hedera', alg: 'ES256K-KECCAK' },
      unwrap: { purpose: 'decrypt', alg: 'RSA-OAEP-256' },
    },
  });
  admin = await agentOf(await readPair(signer.keys.clients.admin));
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
      'hedera-ecdsa:tx-hedera:1',
      'hedera-payer:tx-hedera:1',
      'hedera-submit:tx-hedera:1',
      'log:log-checkpoint:1',
      'mac:hmac:1',
      'pdf:pdf:1',
      'pdf-pss:pdf:1',
      'pdf-rsa:pdf:1',
      'seal:seal:1',
      'seal-digests:seal:1',
      'secrets:decrypt:1',
      'tsa:tsa:1',
      'unwrap:decrypt:1',
    ]);
    expect(keys.find((k) => k.kid === 'seal')?.versions[0]).toEqual(
      expect.objectContaining({
        version: 1,
        state: 'active',
        alg: 'ES256',
        activateAt: expect.any(String),
        chain: [expect.any(String), expect.any(String)],
        'x5t#S256': expect.any(String),
      }),
    );
    expect(JSON.stringify(json)).not.toMatch(/"[dk]":|sealed|ciphertext/);
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

  it('signs a digest under a key that was made for that, and in no other length', async () => {
    const { json: key } = await call(worker, '/v1/keys/seal-digests');
    const [{ jwk, digests }] = key.versions as [{ jwk: Record<string, string>; digests: boolean }];
    expect(digests).toBe(true);
    const body = (digest: Uint8Array) => ({ alg: 'ES256', input: { kind: 'digest', values: [b64(digest)] } });
    const value = Buffer.from('a statement that stays at home');
    const { json } = await call(
      worker,
      '/v1/keys/seal-digests/sign',
      body(createHash('sha256').update(value).digest()),
    );
    const signature = Buffer.from(String((json.signatures as string[])[0]), 'base64url');
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    expect(verify('sha256', value, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    expect((await call(worker, '/v1/keys/seal-digests/sign', body(new Uint8Array(31)))).json.code).toBe(
      'value_refused',
    );
  });

  it('makes MACs, verifies them, and tells a wrong one', async () => {
    const values = [b64('one'), b64('two')];
    const { json } = await call(worker, '/v1/keys/mac/mac', { values });
    const macs = json.macs as string[];
    expect(macs.map((mac) => Buffer.from(mac, 'base64url').length)).toEqual([32, 32]);
    const verdicts = async (given: readonly string[]) =>
      (await call(worker, '/v1/keys/mac/verify-mac', { version: 1, values, macs: given })).json.valid;
    expect(await verdicts(macs)).toEqual([true, true]);
    expect(await verdicts([macs[1] ?? '', b64('short')])).toEqual([false, false]);
    expect((await call(worker, '/v1/keys/seal/mac', { values })).json.code).toBe('alg_not_allowed');
    expect((await call(worker, '/v1/keys/mac/sign', tbs('HS256', values))).json.code).toBe('alg_not_allowed');
    expect((await call(tsa, '/v1/keys/mac/mac', { values })).json.code).toBe('client_not_allowed');
  });

  it('deciphers only under the associated data that it was enciphered with, and never without any', async () => {
    const [value, aad] = [b64('a secret'), b64('tenant|webhook')];
    const { json: sealed } = await call(worker, '/v1/keys/secrets/encrypt', { values: [value], aad });
    const values = sealed.values as string[];
    expect(Buffer.from(values[0] ?? '', 'base64url').includes('a secret')).toBe(false);
    const open = async (more: object) =>
      (await call(worker, '/v1/keys/secrets/decrypt', { version: 1, values, aad, ...more })).json;
    expect((await open({})).values).toEqual([value]);
    expect(await open({ aad: b64('another|webhook') })).toEqual(
      expect.objectContaining({ code: 'value_refused', index: 0 }),
    );
    expect((await open({ aad: '' })).code).toBe('value_refused');
    expect((await open({ aad: undefined })).code).toBe('value_refused');
    expect((await open({ version: undefined })).code).toBe('request_malformed');
  });

  it('deciphers what others encipher under its RSA key, the associated data as label', async () => {
    const { json: key } = await call(worker, '/v1/keys/unwrap');
    const [{ jwk }] = key.versions as [{ jwk: Record<string, string> }];
    const ciphertext = publicEncrypt(
      {
        key: createPublicKey({ key: jwk, format: 'jwk' }),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: 'sha256',
        oaepLabel: Buffer.from('tenant'),
      },
      Buffer.from('wrapped'),
    );
    const open = async (aad: string) =>
      (await call(worker, '/v1/keys/unwrap/decrypt', { version: 1, values: [b64(ciphertext)], aad: b64(aad) })).json;
    expect((await open('tenant')).values).toEqual([b64('wrapped')]);
    expect((await open('other')).code).toBe('value_refused');
  });

  it('answers a timestamp query, and repeats the very token', async () => {
    const imprint = createHash('sha256').update('data').digest();
    const nonce = new Uint8Array(8).fill(7);
    const query = b64(buildTimestampRequest({ imprint, nonce }));
    const { json } = await call(tsa, '/v1/keys/tsa/timestamp', { query });
    const { json: key } = await call(tsa, '/v1/keys/tsa');
    const [{ chain }] = key.versions as [{ chain: string[] }];
    const verdict = await verifyTimestampResponse(new Uint8Array(Buffer.from(String(json.response), 'base64url')), {
      imprint,
      nonce,
      roots: [chain.at(-1) ?? ''],
      policies: [LOCAL_TSA_POLICY],
      nowMs: clock.nowMs(),
      isSerialUnused: async () => true,
    });
    expect(verdict.ok).toBe(true);
    expect((await call(tsa, '/v1/keys/tsa/timestamp', { query })).json).toEqual(json);
    expect((await call(worker, '/v1/keys/tsa/timestamp', { query })).json.code).toBe('client_not_allowed');
  });

  it('gives RSA, Keccak, MAC, secret and token through the client, each verified there', async () => {
    const files = { url: signer.url, caFile: signer.keys.transportCaFile, clock };
    const client = createSignerClient({ ...files, ...signer.keys.clients.worker });
    const values = [Buffer.from('one'), Buffer.from('two')];
    const { version, macs } = await client.mac({ kid: 'mac', values });
    expect(await client.verifyMac({ kid: 'mac', version, values, macs: macs.toReversed() })).toEqual([false, false]);
    const aad = Buffer.from('tenant');
    const sealed = await client.encrypt({ kid: 'secrets', values, aad });
    const opened = await client.decrypt({ kid: 'secrets', ...sealed, aad });
    expect(opened.map((bytes) => Buffer.from(bytes))).toEqual(values);
    const digest = createHash('sha256').update('x').digest();
    const digests = { kid: 'seal-digests', alg: 'ES256', kind: 'digest', values: [digest], context: {} } as const;
    expect((await client.sign(digests)).signatures).toHaveLength(1);
    await client.close();
    const authority = createSignerClient({ ...files, ...signer.keys.clients.tsa });
    const query = buildTimestampRequest({ imprint: digest, nonce: new Uint8Array(8).fill(9) });
    expect((await authority.timestamp({ kid: 'tsa', query })).response.length).toBeGreaterThan(500);
    await authority.close();
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
    // Refusals are told to whoever reads the log, with who asked.
    expect(events.at(-1)).toEqual(
      expect.objectContaining({ event: 'refused', code: 'policy_denied', by: 'proofline-worker' }),
    );
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

  it('signs Hedera transactions with either kind of key, and an Ethereum one only as far as the policy goes', async () => {
    const registry = '0.0.2001';
    await writeTransactionPolicy(signer.policyFile, {
      hedera: {
        topics: [],
        maxFeeTinybars: '200000000',
        contracts: [{ id: registry, functions: ['anchor(bytes32,uint64,uint64,bytes32)'], maxGas: '300000' }],
      },
    });
    const bodies: Uint8Array[] = [];
    await new ContractExecuteTransaction()
      .setContractId(registry)
      .setGas(300_000)
      .setFunctionParameters(Buffer.concat([selectorOf('anchor(bytes32,uint64,uint64,bytes32)'), new Uint8Array(128)]))
      .setMaxTransactionFee(new Hbar(2))
      .setTransactionId(TransactionId.generate('0.0.2'))
      .setNodeAccountIds([AccountId.fromString('0.0.3')])
      .freeze()
      .signWith(PrivateKey.generateED25519().publicKey, async (body) => {
        bodies.push(body);
        return new Uint8Array(64);
      });
    const client = createSignerClient({
      url: signer.url,
      caFile: signer.keys.transportCaFile,
      ...signer.keys.clients.worker,
      clock,
    });
    expect((await client.signTransaction({ kid: 'hedera-payer', bodies })).signatures).toHaveLength(1);
    const { signatures } = await client.signTransaction({ kid: 'hedera-ecdsa', alg: 'ES256K-KECCAK', bodies });
    const { versions } = await client.key('hedera-ecdsa');
    const { x = '', y = '' } = versions[0]?.jwk ?? {};
    const isOdd = (Buffer.from(y, 'base64url').at(-1) ?? 0) & 1;
    const point = Buffer.concat([Buffer.of(2 + isOdd), Buffer.from(x, 'base64url')]);
    // The SDK's own verification: Keccak-256, r‖s.
    expect(PublicKey.fromBytesECDSA(point).verify(bodies[0] as Uint8Array, signatures[0] as Uint8Array)).toBe(true);
    await expect(
      client.signTransaction({ kid: 'hedera-ecdsa', kind: 'evm', alg: 'ES256K-KECCAK', bodies }),
    ).rejects.toThrow('alg_not_allowed');
    await client.close();
  });

  it('lets administrators alone change keys, twice the same without harm, and logs who did', async () => {
    const rotate = { after: 1, overlapMs: 60_000 };
    expect((await call(worker, '/v1/keys/pdf/rotate', rotate)).json.code).toBe('client_not_allowed');
    expect((await call(admin, '/v1/keys/pdf/sign', tbs('ES256', [b64('x')]))).json.code).toBe('client_not_allowed');
    const { json: first } = await call(admin, '/v1/keys/pdf/rotate', rotate);
    const { json: again } = await call(admin, '/v1/keys/pdf/rotate', rotate);
    expect([first.primaryVersion, again]).toEqual([2, first]);
    expect((first.versions as { successor?: number }[])[0]?.successor).toBe(2);
    const at = new Date(clock.nowMs() - 86_400_000).toISOString();
    const compromise = { version: 1, state: 'compromised', at };
    const { json: after } = await call(admin, '/v1/keys/pdf/withdraw', compromise);
    expect((after.versions as unknown[])[0]).toEqual(
      expect.objectContaining({ state: 'compromised', compromisedAt: at }),
    );
    // The earliest time ever said stays, and a compromise is never taken back.
    const later = { ...compromise, at: new Date(clock.nowMs() - 1_000).toISOString() };
    expect((await call(admin, '/v1/keys/pdf/withdraw', later)).json).toEqual(after);
    const suspend = { version: 1, state: 'suspended' };
    expect((await call(admin, '/v1/keys/pdf/withdraw', suspend)).json.code).toBe('policy_denied');
    const tomorrow = { ...compromise, at: new Date(clock.nowMs() + 86_400_000).toISOString() };
    expect((await call(admin, '/v1/keys/pdf/withdraw', tomorrow)).json.code).toBe('request_malformed');
    const { json: retired } = await call(admin, '/v1/keys/pdf/withdraw', { version: 2, state: 'verify-only' });
    expect(retired.primaryVersion).toBeUndefined();
    expect((await call(admin, '/v1/keys/none/rotate', rotate)).status).toBe(404);
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'key-changed', by: 'proofline-admin', kid: 'pdf', verb: 'withdraw' }),
    );
  });

  it('takes a renewed certificate and another root of its clients without a restart', async () => {
    const { certFile, keyFile } = signer.keys.signerServer;
    const caKeyFile = join(dir, 'ca', 'transport', 'key.pem');
    const root = await readPair({ certFile: signer.keys.transportCaFile, keyFile: caKeyFile });
    const issue = async (commonName: string, key: string, kind: 'tls-server' | 'tls-client', issuer = root) =>
      issueCertificate(issuer, {
        commonName,
        spki: await publicKeyOf(key),
        entity: { kind },
        nowMs: clock.nowMs(),
        days: 1,
      });
    const serverNow = async (): Promise<string> => {
      const socket = connect({
        port: Number(new URL(signer.url).port),
        host: '127.0.0.1',
        ca: root.cert,
        ...(await readPair(signer.keys.clients.worker)),
      });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = await serverNow();
    const newKey = newPrivateKey();
    // Between the two writes the pair does not fit, and the old one serves.
    await writeFile(keyFile, newKey);
    expect(await serverNow()).toBe(before);
    await writeFile(certFile, await issue('proofline-signer dev', newKey, 'tls-server'));
    await until(serverNow, (fingerprint) => fingerprint !== before);
    const other = await createRoot('the next transport root', clock.nowMs());
    const clientKey = newPrivateKey();
    const client = await agentOf({
      cert: await issue('proofline-worker', clientKey, 'tls-client', other),
      key: clientKey,
    });
    await expect(call(client, '/v1/info')).rejects.toThrow();
    await writeFile(signer.keys.transportCaFile, `${root.cert}\n${other.cert}`);
    await until(
      () =>
        call(client, '/v1/info').then(
          (answer) => answer.status,
          () => 0,
        ),
      (status) => status === 200,
    );
    expect((await call(worker, '/v1/info')).status).toBe(200);
    await writeFile(signer.keys.transportCaFile, root.cert);
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
