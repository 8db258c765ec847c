import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../local/stack/ports.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { seedTenant } from '../test/support/seed.ts';
import { clientOf } from './test-client.ts';
import { settingsOf, startApiProcess, untilReady } from './test-process.ts';

let database: TestDatabase;
let running: ChildProcess | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => {
  running?.kill('SIGKILL');
});

function start(environment: Record<string, string>): ChildProcess {
  running = startApiProcess(environment);
  return running;
}

async function outputOf(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += String(chunk)));
  const [code] = await once(child, 'exit');
  return { code, output };
}

const settings = () => settingsOf(database);

describe('the API process', () => {
  it('serves once it is ready, shows its metrics elsewhere, and ends an open request before it stops', async () => {
    const environment = await settings();
    const child = start(environment);
    const end = outputOf(child);
    await untilReady(environment.PROOFLINE_METRICS_PORT);
    const { apiKey } = await seedTenant(database.pool('proofline_worker'));
    const call = clientOf(`http://127.0.0.1:${environment.PROOFLINE_API_PORT}`, apiKey);
    const { status, body } = await call('POST', '/v1/proofs', { digest: { alg: 'sha-256', value: 'a'.repeat(64) } });
    expect(status).toBe(202);
    const metrics = await (await fetch(`http://127.0.0.1:${environment.PROOFLINE_METRICS_PORT}/metrics`)).text();
    expect(metrics).toContain('proofline_proofs_accepted_total 1');
    expect(metrics).toContain('proofline_accept_group_requests_count 1');
    expect((await call('GET', '/metrics')).status).toBe(404);
    const waiting = call('GET', `/v1/proofs/${body.id}?wait=30`);
    for (let seen = 0; seen < 1; ) {
      const text = await (await fetch(`http://127.0.0.1:${environment.PROOFLINE_METRICS_PORT}/metrics`)).text();
      seen = Number(/proofline_http_waiters (\d+)/.exec(text)?.[1] ?? 0);
    }
    child.kill('SIGTERM');
    expect(await waiting).toMatchObject({ status: 200, body: { state: 'RECEIVED' } });
    const { code, output } = await end;
    expect(code).toBe(0);
    expect(output).toContain('"msg":"stopped"');
    expect(output).not.toContain(apiKey);
  });

  it('refuses its settings whole, with every fault and no value', async () => {
    const { PROOFLINE_ORIGIN: _origin, ...rest } = await settings();
    const child = start({
      ...rest,
      PROOFLINE_API_PORT: '99999',
      PROOFLINE_DB_API_URL: 'secret',
      PROOFLINE_COLOUR: 'red',
    });
    const { code, output } = await outputOf(child);
    expect(code).not.toBe(0);
    for (const name of ['PROOFLINE_ORIGIN', 'PROOFLINE_API_PORT', 'PROOFLINE_DB_API_URL', 'PROOFLINE_COLOUR'])
      expect(output).toContain(name);
    expect(output).not.toContain('secret');
  });

  it('says STORE_UNAVAILABLE while Postgres is away, and is not ready', async () => {
    const away = `postgresql://x:y@127.0.0.1:${await freePort()}/z`;
    const environment: Record<string, string> = {
      ...(await settings()),
      PROOFLINE_DB_API_URL: away,
      PROOFLINE_DB_INTAKE_URL: away,
    };
    start(environment);
    const url = `http://127.0.0.1:${environment.PROOFLINE_API_PORT}`;
    const ask = () => clientOf(url)('GET', '/log/checkpoint').catch(() => undefined);
    let answer = await ask();
    while (answer === undefined) answer = await ask();
    expect({ status: answer.status, code: answer.body.code, after: answer.headers.get('retry-after') }).toEqual({
      status: 503,
      code: 'STORE_UNAVAILABLE',
      after: '2',
    });
    expect((await fetch(`http://127.0.0.1:${environment.PROOFLINE_METRICS_PORT}/readyz`)).status).toBe(503);
    expect((await fetch(`http://127.0.0.1:${environment.PROOFLINE_METRICS_PORT}/livez`)).status).toBe(200);
  });
});
