import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { until } from '../../test/support/until.ts';
import { newPasswords, startPostgres } from './start-postgres.ts';

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  // A session that the server ends is what some of these tests are about.
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

describe('startPostgres', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'proofline-postgres-'));
  });
  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  it('is durable, reachable over loopback alone, and lets each of our logins in', async () => {
    const postgres = await startPostgres({ dataDir: join(dir, 'logins') });
    try {
      await postgres.createDatabase('proofline');
      for (const role of ['proofline_owner', 'proofline_api', 'proofline_intake', 'proofline_worker'] as const) {
        const [row] = await query(postgres.url(role, 'proofline'), 'SELECT current_user AS name');
        expect(row?.name).toBe(role);
      }
      const names = ['fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses', 'unix_socket_directories'];
      const values = await Promise.all(
        names.map(
          async (name) =>
            Object.values((await query(postgres.url('postgres', 'postgres'), `SHOW ${name}`))[0] ?? {})[0],
        ),
      );
      expect(values).toEqual(['on', 'on', 'on', '127.0.0.1', '']);
    } finally {
      await postgres.stop();
    }
  });

  it('is back over the same data after kill -9, with what was committed', async () => {
    const passwords = newPasswords();
    const states: string[] = [];
    const postgres = await startPostgres({
      dataDir: join(dir, 'killed'),
      passwords,
      restart: true,
      onState: (_name, state) => states.push(state),
    });
    const url = postgres.url('postgres', 'postgres');
    try {
      await query(url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)');
      const killed = postgres.pid();
      process.kill(killed ?? 0, 'SIGKILL');
      await until(
        () => ({ pid: postgres.pid(), state: states.at(-1) }),
        ({ pid, state }) => pid !== killed && state === 'up',
      );
      expect(await query(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
    } finally {
      await postgres.stop();
    }
    expect(states).toEqual(['starting', 'up', 'down', 'starting', 'up', 'stopped']);
  });
});
