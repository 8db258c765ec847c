import { createHash, verify } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { verifyTimestampResponse } from '../../domain/timestamp/verify-token.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { createSign, openRemoteKey } from './sign-with.ts';
import { tokenAttributes } from './test-attributes.ts';
import { b64, useTestSigner } from './test-signer.ts';

const clock = systemClock();
const test = useTestSigner();
const { call } = test;

describe('signer/1 for an authority', () => {
  it('answers a timestamp query, and repeats the very token', async () => {
    const imprint = createHash('sha256').update('data').digest();
    const nonce = new Uint8Array(8).fill(7);
    const query = b64(buildTimestampRequest({ imprint, nonce }));
    const { json } = await call('tsa', '/v1/keys/tsa/timestamp', { query });
    const { json: key } = await call('tsa', '/v1/keys/tsa');
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
    expect((await call('tsa', '/v1/keys/tsa/timestamp', { query })).json).toEqual(json);
    expect((await call('worker', '/v1/keys/tsa/timestamp', { query })).json.code).toBe('client_not_allowed');
  });

  it('signs for the local authority in the form of CMS', async () => {
    const files = { url: test.signer.url, caFile: test.signer.keys.transportCaFile, ...test.signer.keys.clients.tsa };
    const attributes = tokenAttributes();
    const key = await openRemoteKey({ ...files, kid: 'tsa', alg: 'ES256' });
    const der = await createSign({ ...files, kid: 'tsa', alg: 'ES256', form: 'der' })(attributes);
    expect(verify('sha256', attributes, key.chain[0] ?? '', der)).toBe(true);
    await key.close();
    await expect(createSign({ ...files, kid: 'seal', alg: 'ES256' })(attributes)).rejects.toThrow('client_not_allowed');
  });
});
