import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type Answer, clientOf, digestOf } from './test-client.ts';
import { settingsOf, startApiProcess, untilReady } from './test-process.ts';
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

describe('one idempotency key, sent a hundred times at once over two servers', () => {
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

describe('a hundred equal requests of one tenant, sent at once over two API processes', () => {
  const processes: ChildProcess[] = [];
  const urls: string[] = [];

  beforeAll(async () => {
    for (let i = 0; i < 2; i++) {
      const settings = await settingsOf(first.database);
      processes.push(startApiProcess(settings));
      await untilReady(settings.PROOFLINE_METRICS_PORT);
      urls.push(`http://127.0.0.1:${settings.PROOFLINE_API_PORT}`);
    }
  }, 60_000);
  afterAll(() => {
    for (const child of processes) child.kill('SIGKILL');
  });

  const sendAll = (tenant: SeededTenant, headers: Record<string, string>): Promise<readonly Answer[]> =>
    Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        clientOf(urls[i % 2] as string, tenant.apiKey)('POST', '/v1/proofs', { digest: digestOf('equal') }, headers),
      ),
    );
  const stored = async ({
    tenantId,
  }: SeededTenant): Promise<{ submissions: number; proofs: number; queued: number }> => {
    const { rows } = await first.database.pool('proofline_owner').query(
      `SELECT (SELECT count(*)::int FROM submissions WHERE tenant_id = $1) AS submissions, (SELECT count(*)::int FROM proofs WHERE tenant_id = $1) AS proofs,
         (SELECT count(*)::int FROM submission_queue WHERE tenant_id = $1) AS queued`,
      [tenantId],
    );
    return rows[0];
  };

  /** What an answer says but for its forecasts, which pass as the hundred are served. */
  const lasting = ({ stages, ...rest }: Answer['body']) => ({
    ...rest,
    stages: stages.map(({ eta: _eta, ...stage }: { eta: string | null }) => stage),
  });

  it('are one submission under one key, and a hundred equal answers', async () => {
    const tenant = await seedTenant(first.database.pool('proofline_worker'));
    const answers = await sendAll(tenant, { 'idempotency-key': 'over-two-processes' });
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(99).fill(200), 202]);
    for (const { status, body, headers } of answers) {
      expect(lasting(body)).toEqual(lasting(answers[0]?.body));
      expect(headers.get('idempotent-replayed')).toBe(status === 200 ? 'true' : null);
    }
    expect(await stored(tenant)).toEqual({ submissions: 1, proofs: 1, queued: 1 });
  });

  it('are a submission each without a key, and none is lost', async () => {
    const tenant = await seedTenant(first.database.pool('proofline_worker'));
    const answers = await sendAll(tenant, {});
    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(202));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(100);
    expect(await stored(tenant)).toEqual({ submissions: 100, proofs: 100, queued: 100 });
  });
});
