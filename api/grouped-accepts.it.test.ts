import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { clientOf, digestOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

let first: TestServer;
let second: TestServer;
let a: SeededTenant;
let b: SeededTenant;

beforeAll(async () => {
  first = await startTestServer();
  second = await startTestServer({ database: first.database });
  a = await seedTenant(first.database.pool('proofline_worker'));
  b = await seedTenant(first.database.pool('proofline_worker'));
});
afterAll(async () => {
  await second.stop();
  await first.stop();
});

describe('one idempotency key, sent a hundred times at once over two API processes', () => {
  it('is one submission for each of two tenants that chose the same key, and every answer names it', async () => {
    const headers = { 'idempotency-key': 'the-same-string' };
    const body = { digest: digestOf('grouped') };
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const tenant = i % 2 === 0 ? a : b;
        const server = i % 4 < 2 ? first : second;
        const answer = await clientOf(server.url, tenant.apiKey)('POST', '/v1/proofs', body, headers);
        return { tenant, status: answer.status, id: answer.body.id };
      }),
    );
    for (const tenant of [a, b]) {
      const own = answers.filter((answer) => answer.tenant === tenant);
      expect(new Set(own.map((answer) => answer.id)).size).toBe(1);
      expect(own.filter((answer) => answer.status === 202)).toHaveLength(1);
      expect(own.filter((answer) => answer.status === 200)).toHaveLength(49);
    }
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(2);
    const { rows } = await first.database
      .pool('proofline_owner')
      .query(
        'SELECT (SELECT count(*)::int FROM submissions) AS submissions, (SELECT count(*)::int FROM proofs) AS proofs, (SELECT count(*)::int FROM timeline) AS steps, (SELECT count(*)::int FROM submission_queue) AS queued',
      );
    expect(rows[0]).toEqual({ submissions: 2, proofs: 2, steps: 2, queued: 2 });
    // Twins did meet in one group: there were fewer inserts than requests.
    expect(first.groups.length + second.groups.length).toBeLessThan(100);
  });

  it('is refused to the twin with another body, whichever comes first, and harms nobody in its group', async () => {
    const send = clientOf(first.url, a.apiKey);
    const headers = { 'idempotency-key': 'twins-that-differ' };
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, (_, i) =>
        send('POST', '/v1/proofs', { digest: digestOf(`twin ${i % 2}`) }, headers),
      ),
      ...Array.from({ length: 10 }, (_, i) => send('POST', '/v1/proofs', { digest: digestOf(`bystander ${i}`) })),
    ]);
    const statuses = answers.slice(0, 10).map(({ status }) => status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(1);
    expect(statuses.filter((status) => status === 200)).toHaveLength(4);
    expect(statuses.filter((status) => status === 422)).toHaveLength(5);
    expect(answers.slice(10).map(({ status }) => status)).toEqual(Array(10).fill(202));
  });
});
