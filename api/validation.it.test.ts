import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { seedTenant } from '../test/support/seed.ts';
import { type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let server: TestServer;
let call: Call;

// As in production: where answers are validated too, nothing is remembered.
beforeAll(async () => {
  server = await startTestServer({ validateResponses: false });
  call = clientOf(server.url, (await seedTenant(server.database.pool('proofline_worker'))).apiKey);
});
afterAll(() => server.stop());

const good = { digest: { alg: 'sha-256', value: 'ab'.repeat(32) } };

describe('parameters that were found good before', () => {
  it('are understood as at the first time', async () => {
    for (const policy of ['NONE', 'REQUIRED', 'NONE', 'REQUIRED']) {
      const { status, body } = await call('POST', `/v1/proofs?anchorPolicy=${policy}`, good);
      const { rows } = await server.database
        .pool('proofline_worker')
        .query('SELECT anchor_policy FROM proofs WHERE id = $1', [body.id]);
      expect([status, rows[0]?.anchor_policy]).toEqual([202, policy]);
    }
    expect((await call('POST', '/v1/proofs', good)).status).toBe(202);
  });

  it('excuse no other parameter, no body and no key', async () => {
    for (let i = 0; i < 2; i++) expect((await call('POST', '/v1/proofs?anchorPolicy=NONE', good)).status).toBe(202);
    const codeOf = async (path: string, body: unknown, headers = {}): Promise<unknown> =>
      (await call('POST', path, body, headers)).body.code;
    expect(await codeOf('/v1/proofs?anchorPolicy=none', good)).toBe('REQUEST_INVALID');
    expect(await codeOf('/v1/proofs?anchorPolicy=NONE&colour=red', good)).toBe('REQUEST_INVALID');
    expect(await codeOf('/v1/proofs?anchorPolicy=NONE', { ...good, colour: 'red' })).toBe('REQUEST_INVALID');
    expect(await codeOf('/v1/proofs?anchorPolicy=NONE', { digest: { alg: 'md5', value: 'ab' } })).toBe(
      'DIGEST_ALGORITHM_UNKNOWN',
    );
    expect(await codeOf('/v1/proofs?anchorPolicy=NONE', good, { 'idempotency-key': 'with space' })).toBe(
      'IDEMPOTENCY_KEY_MALFORMED',
    );
  });

  it('are those of another proof too, and excuse no id that is none', async () => {
    const ended = (await call('POST', '/v1/proofs', good)).body.id;
    await server.database
      .pool('proofline_worker')
      .query("UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [ended]);
    expect((await call('GET', `/v1/proofs/${ended}?wait=1`)).body.state).toBe('CANCELLED');
    const going = (await call('POST', '/v1/proofs', good)).body.id;
    const startedAt = performance.now();
    expect((await call('GET', `/v1/proofs/${going}?wait=1`)).body.state).toBe('RECEIVED');
    expect(performance.now() - startedAt).toBeGreaterThan(990);
    const codesOf = (paths: readonly string[]): Promise<unknown[]> =>
      Promise.all(paths.map(async (path) => (await call('GET', `/v1/proofs/${path}`)).body.code));
    expect(await codesOf([`${going.toUpperCase()}?wait=1`, 'x?wait=1', '%00?wait=1'])).toEqual(
      Array(3).fill('NOT_FOUND'),
    );
    expect(await codesOf([`${going}?wait=31`, `${going}?wait=1&wait=1`, `${going}?wait=1&colour=red`])).toEqual(
      Array(3).fill('REQUEST_INVALID'),
    );
  });
});
