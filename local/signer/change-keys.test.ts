import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { until } from '../../test/support/until.ts';
import { rotateKey, withdrawVersion } from './admin.ts';
import { ALL_MORE_KEYS, b64, tbs, useTestSigner } from './test-signer.ts';

const clock = systemClock();
const test = useTestSigner(ALL_MORE_KEYS);
const { call } = test;

describe('signer/1 while keys change', () => {
  it('shows every key with state, window, certificate chain, and an ETag that spares the body', async () => {
    const { json, etag } = await call('worker', '/v1/keys');
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
    expect(await call('worker', '/v1/keys', undefined, { 'if-none-match': etag ?? '' })).toEqual(
      expect.objectContaining({ status: 304, text: '' }),
    );
    expect((await call('worker', '/v1/keys/none')).status).toBe(404);
  });

  it('takes a rotated key without a restart and lets the old version finish what names it', async () => {
    const before = await call('worker', '/v1/keys/certificate');
    await rotateKey(test.dir, 'certificate', clock);
    const after = await until(
      async () => (await call('worker', '/v1/keys/certificate')).json,
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
    await withdrawVersion(test.dir, 'certificate', 1, 'compromised', clock);
    await until(
      async () => (await call('worker', '/v1/keys/certificate')).json,
      (key) => (key.versions as { state: string }[])[0]?.state === 'compromised',
    );
    const header = b64('{"alg":"ES256","kid":"certificate@1","typ":"proofline-certificate+jwt"}');
    const { json } = await call(
      'worker',
      '/v1/keys/certificate/sign',
      tbs('ES256', [b64(`${header}.e30`)], { version: 1 }),
    );
    expect([json.code, json.retryable]).toEqual(['key_not_active', true]);
  });

  it('lets administrators alone change keys, twice the same without harm, and logs who did', async () => {
    const rotate = { after: 1, overlapMs: 60_000 };
    expect((await call('worker', '/v1/keys/pdf/rotate', rotate)).json.code).toBe('client_not_allowed');
    expect((await call('admin', '/v1/keys/pdf/sign', tbs('ES256', [b64('x')]))).json.code).toBe('client_not_allowed');
    const { json: first } = await call('admin', '/v1/keys/pdf/rotate', rotate);
    const { json: again } = await call('admin', '/v1/keys/pdf/rotate', rotate);
    expect([first.primaryVersion, again]).toEqual([2, first]);
    expect((first.versions as { successor?: number }[])[0]?.successor).toBe(2);
    const at = new Date(clock.nowMs() - 86_400_000).toISOString();
    const compromise = { version: 1, state: 'compromised', at };
    const { json: after } = await call('admin', '/v1/keys/pdf/withdraw', compromise);
    expect((after.versions as unknown[])[0]).toEqual(
      expect.objectContaining({ state: 'compromised', compromisedAt: at }),
    );
    // The earliest time ever said stays, and a compromise is never taken back.
    const later = { ...compromise, at: new Date(clock.nowMs() - 1_000).toISOString() };
    expect((await call('admin', '/v1/keys/pdf/withdraw', later)).json).toEqual(after);
    const suspend = { version: 1, state: 'suspended' };
    expect((await call('admin', '/v1/keys/pdf/withdraw', suspend)).json.code).toBe('policy_denied');
    const tomorrow = { ...compromise, at: new Date(clock.nowMs() + 86_400_000).toISOString() };
    expect((await call('admin', '/v1/keys/pdf/withdraw', tomorrow)).json.code).toBe('request_malformed');
    const { json: retired } = await call('admin', '/v1/keys/pdf/withdraw', { version: 2, state: 'verify-only' });
    expect(retired.primaryVersion).toBeUndefined();
    expect((await call('admin', '/v1/keys/none/rotate', rotate)).status).toBe(404);
    expect(test.events).toContainEqual(
      expect.objectContaining({ event: 'key-changed', by: 'proofline-admin', kid: 'pdf', verb: 'withdraw' }),
    );
  });
});
