import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { createClient } from './generated/client/client/index.ts';
import { listProofs, readProof, submitProof, submitProofs } from './generated/client/index.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let tenant: SeededTenant;

beforeAll(async () => {
  server = await startTestServer();
  tenant = await seedTenant(server.database.pool('proofline_worker'));
});
afterAll(() => server.stop());

const digest = { alg: 'sha-256', value: 'c'.repeat(64) } as const;

describe('the generated client', () => {
  it('submits, reads and lists with its types, and gets a problem as an error', async () => {
    const client = createClient({ baseUrl: server.url, auth: tenant.apiKey });
    const submitted = await submitProof({
      client,
      body: { digest, reference: 'by client' },
      headers: { 'Idempotency-Key': 'client' },
    });
    expect(submitted.response?.status).toBe(202);
    const id = submitted.data?.id ?? '';
    expect((await readProof({ client, path: { id }, query: { wait: 0 } })).data?.reference).toBe('by client');
    expect((await listProofs({ client, query: { reference: 'by client' } })).data?.data).toHaveLength(1);
    const unknown = await readProof({ client, path: { id: '00000000-0000-4000-8000-000000000000' } });
    expect(unknown.error).toMatchObject({ code: 'NOT_FOUND', retryable: false });
  });

  it('sends NDJSON where it is told how to write the lines', async () => {
    const client = createClient({ baseUrl: server.url, auth: tenant.apiKey });
    const { data } = await submitProofs({
      client,
      // The generator types the first media type only.
      body: [{ digest }, { digest }] as never,
      query: { reference: 'lines' },
      headers: { 'Content-Type': 'application/x-ndjson' },
      bodySerializer: (items: unknown) => (items as unknown[]).map((item) => `${JSON.stringify(item)}\n`).join(''),
    });
    expect(data).toMatchObject({ accepted: 2, reference: 'lines' });
  });
});
