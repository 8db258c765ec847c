import { constants, createHash, createPublicKey, publicEncrypt } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { b64, tbs, useTestSigner } from './test-signer.ts';

const test = useTestSigner(['seal-digests', 'unwrap']);
const { call } = test;

describe('signer/1 on MACs, secrets and tokens', () => {
  it('makes MACs, verifies them, and tells a wrong one', async () => {
    const values = [b64('one'), b64('two')];
    const { json } = await call('worker', '/v1/keys/mac/mac', { values });
    const macs = json.macs as string[];
    expect(macs.map((mac) => Buffer.from(mac, 'base64url').length)).toEqual([32, 32]);
    const verdicts = async (given: readonly string[]) =>
      (await call('worker', '/v1/keys/mac/verify-mac', { version: 1, values, macs: given })).json.valid;
    expect(await verdicts(macs)).toEqual([true, true]);
    expect(await verdicts([macs[1] ?? '', b64('short')])).toEqual([false, false]);
    expect((await call('worker', '/v1/keys/seal/mac', { values })).json.code).toBe('alg_not_allowed');
    expect((await call('worker', '/v1/keys/mac/sign', tbs('HS256', values))).json.code).toBe('alg_not_allowed');
    expect((await call('tsa', '/v1/keys/mac/mac', { values })).json.code).toBe('client_not_allowed');
  });

  it('deciphers only under the associated data that it was enciphered with, and never without any', async () => {
    const [value, aad] = [b64('a secret'), b64('tenant|webhook')];
    const { json: sealed } = await call('worker', '/v1/keys/secrets/encrypt', { values: [value], aad });
    const values = sealed.values as string[];
    expect(Buffer.from(values[0] ?? '', 'base64url').includes('a secret')).toBe(false);
    const open = async (more: object) =>
      (await call('worker', '/v1/keys/secrets/decrypt', { version: 1, values, aad, ...more })).json;
    expect((await open({})).values).toEqual([value]);
    expect(await open({ aad: b64('another|webhook') })).toEqual(
      expect.objectContaining({ code: 'value_refused', index: 0 }),
    );
    expect((await open({ aad: '' })).code).toBe('value_refused');
    expect((await open({ aad: undefined })).code).toBe('value_refused');
    expect((await open({ version: undefined })).code).toBe('request_malformed');
  });

  it('deciphers what others encipher under its RSA key, the associated data as label', async () => {
    const { json: key } = await call('worker', '/v1/keys/unwrap');
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
      (await call('worker', '/v1/keys/unwrap/decrypt', { version: 1, values: [b64(ciphertext)], aad: b64(aad) })).json;
    expect((await open('tenant')).values).toEqual([b64('wrapped')]);
    expect((await open('other')).code).toBe('value_refused');
  });

  it('gives RSA, Keccak, MAC, secret and token through the client, each verified there', async () => {
    const client = test.client('worker');
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
    const authority = test.client('tsa');
    const query = buildTimestampRequest({ imprint: digest, nonce: new Uint8Array(8).fill(9) });
    expect((await authority.timestamp({ kid: 'tsa', query })).response.length).toBeGreaterThan(500);
    await authority.close();
  });
});
