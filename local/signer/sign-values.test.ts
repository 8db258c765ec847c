import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { formatCheckpointBody } from '../../log/checkpoint.ts';
import { pdfAttributes } from './test-attributes.ts';
import { b64, sealInput, tbs, useTestSigner } from './test-signer.ts';

const test = useTestSigner(['pdf-rsa', 'pdf-pss', 'seal-digests']);
const { call } = test;

const checkpoint = (size: bigint, fill: number): string =>
  b64(formatCheckpointBody({ origin: 'signer.test/log', size, root: new Uint8Array(32).fill(fill) }));

describe('signer/1 on values', () => {
  it('signs a thousand values in order, each verifiable under the key shown', async () => {
    const values = Array.from({ length: 1_000 }, (_, n) => sealInput(n));
    const { json } = await call('worker', '/v1/keys/seal/sign', tbs('ES256', values, { version: 1 }));
    const signatures = json.signatures as string[];
    const { json: key } = await call('worker', '/v1/keys/seal');
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
      call('worker', '/v1/keys/seal/sign', body),
      call('worker', '/v1/keys/seal/sign', body),
    ]);
    const later = await call('worker', '/v1/keys/seal/sign', body);
    expect([twin.text, later.text]).toEqual([first.text, first.text]);
    const key = 'ab'.repeat(32);
    await call('worker', '/v1/keys/seal/sign', body, { 'idempotency-key': key });
    const other = await call('worker', '/v1/keys/seal/sign', tbs('ES256', [sealInput('other')]), {
      'idempotency-key': key,
    });
    expect([other.status, other.json.code]).toEqual([409, 'idempotency_conflict']);
  });

  it('refuses a checkpoint behind the last, or a second tree of one size, and tells what it remembers', async () => {
    expect((await call('worker', '/v1/log-memory/signer.test%2Flog')).status).toBe(404);
    expect((await call('worker', '/v1/keys/log/sign', tbs('EdDSA', [checkpoint(9n, 1)]))).status).toBe(200);
    for (const bad of [checkpoint(8n, 1), checkpoint(9n, 2)]) {
      const { status, json } = await call('worker', '/v1/keys/log/sign', tbs('EdDSA', [bad]));
      expect([status, json.code, json.retryable, json.lastSize]).toEqual([409, 'log_rollback', false, '9']);
    }
    expect((await call('worker', '/v1/log-memory/signer.test%2Flog')).json).toEqual({
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
    expect((await call('worker', `/v1/keys/${kid}/sign`, tbs(alg, [value]))).json.code).toBe(code);
  });

  it.each([
    ['pdf', 'ES256'],
    ['pdf-rsa', 'RS256'],
    ['pdf-pss', 'PS256'],
  ] as const)('signs the attributes of a PDF under %s and no others', async (kid, alg) => {
    const client = test.client('worker');
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
      'worker',
      '/v1/keys/seal/sign',
      tbs('ES256', [sealInput(1), sealInput(2), b64('no'), sealInput(3)]),
    );
    expect([json.code, json.index]).toEqual(['value_refused', 2]);
  });

  it('does not sign a digest that it did not compute', async () => {
    const { json } = await call('worker', '/v1/keys/seal/sign', {
      alg: 'ES256',
      input: { kind: 'digest', values: [b64(new Uint8Array(32))] },
    });
    expect(json.code).toBe('blind_signing_refused');
  });

  it('signs a digest under a key that was made for that, and in no other length', async () => {
    const { json: key } = await call('worker', '/v1/keys/seal-digests');
    const [{ jwk, digests }] = key.versions as [{ jwk: Record<string, string>; digests: boolean }];
    expect(digests).toBe(true);
    const body = (digest: Uint8Array) => ({ alg: 'ES256', input: { kind: 'digest', values: [b64(digest)] } });
    const value = Buffer.from('a statement that stays at home');
    const { json } = await call(
      'worker',
      '/v1/keys/seal-digests/sign',
      body(createHash('sha256').update(value).digest()),
    );
    const signature = Buffer.from(String((json.signatures as string[])[0]), 'base64url');
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    expect(verify('sha256', value, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    expect((await call('worker', '/v1/keys/seal-digests/sign', body(new Uint8Array(31)))).json.code).toBe(
      'value_refused',
    );
  });

  it.each([
    ['an unknown member', { ...tbs('ES256', [sealInput(1)]), extra: 1 }, 400, 'request_malformed'],
    ['no values', tbs('ES256', []), 400, 'request_malformed'],
    ['1,001 values', tbs('ES256', new Array(1_001).fill('AA')), 400, 'request_malformed'],
    ['a value above 64 KiB', tbs('ES256', [b64(new Uint8Array(65_537))]), 422, 'value_refused'],
    ['a body above 8 MiB', tbs('ES256', [b64(new Uint8Array(7 * 1024 * 1024))]), 413, 'body_too_large'],
  ])('refuses %s', async (_, body, status, code) => {
    const { json, ...answer } = await call('worker', '/v1/keys/seal/sign', body);
    expect([answer.status, json.code]).toEqual([status, code]);
  });
});
