import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let tenant: SeededTenant;

beforeAll(async () => {
  server = await startTestServer();
  tenant = await seedTenant(server.database.pool('proofline_worker'));
});
afterAll(() => server.stop());

const digestOf = (text: string): { alg: string; value: string } => ({
  alg: 'sha-256',
  value: createHash('sha256').update(text).digest('hex'),
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the contract's response validation has checked the shape
  readonly body: any;
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tenant.apiKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

describe('POST /v1/proofs', () => {
  it('accepts a digest, tells where to read it and when each stage is due', async () => {
    const { status, headers, body } = await call('POST', '/v1/proofs', {
      digest: digestOf('a'),
      reference: 'invoice 7',
      metadata: { lot: 3 },
    });
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/v1/proofs/${body.id}`);
    expect(body).toMatchObject({
      state: 'RECEIVED',
      digest: digestOf('a'),
      reference: 'invoice 7',
      certifiedAt: null,
      earlier: [],
    });
    expect(body.stages.map((stage: { stage: string }) => stage.stage)).toEqual([
      'seal',
      'timestamp',
      'anchor',
      'licence',
      'certificate',
    ]);
    expect(body.stages.every((stage: { eta: string }) => stage.eta > body.receivedAt)).toBe(true);
    const again = await call('GET', `/v1/proofs/${body.id}`);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(body);
  });
});
void randomUUID;
void seedOperatorKey;
