import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { createPool, type Db } from './pool.ts';
import { createWake } from './wake.ts';

const LONG_MS = 600_000;
const never = new AbortController().signal;
let test: TestDatabase;
let db: Db;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
});
afterAll(() => test.drop());

const notify = () => db.query("SELECT pg_notify('proofline_leaf', '')");

describe('a wake', () => {
  it('rings when it begins to listen, and at each notification, also one that nobody waited for', async () => {
    const wake = createWake(db, 'proofline_leaf');
    await wake.wait(LONG_MS, never);
    const waiting = wake.wait(LONG_MS, never);
    await notify();
    await waiting;
    await notify();
    await wake.wait(LONG_MS, never);
    await wake.close();
  });

  it('ends its wait after the time given, and at once when aborted', async () => {
    const wake = createWake(db, 'proofline_leaf');
    await wake.wait(LONG_MS, never);
    await wake.wait(20, never);
    const abort = new AbortController();
    const waiting = wake.wait(LONG_MS, abort.signal);
    abort.abort();
    await waiting;
    await wake.wait(LONG_MS, abort.signal);
    await wake.close();
  });

  it('outlives the loss of its connection', async () => {
    const wake = createWake(db, 'proofline_leaf');
    await wake.wait(LONG_MS, never);
    const { rowCount } = await db.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN proofline_leaf' AND datname = current_database()",
    );
    expect(rowCount).toBe(1);
    // It rings again once it listens anew.
    await wake.wait(LONG_MS, never);
    await wake.close();
  });

  it('outlives a connection that is cut while it begins to listen', async () => {
    const target = new URL(test.url('proofline_worker'));
    let connections = 0;
    const proxy = createServer((client) => {
      const isFirst = connections++ === 0;
      const server = connect(Number(target.port), target.hostname);
      const end = (): void => void [client, server].map((socket) => socket.destroy());
      for (const socket of [client, server]) socket.on('error', end).on('close', end);
      server.pipe(client);
      client.on('data', (bytes) => (isFirst && bytes.includes('LISTEN') ? end() : server.write(bytes)));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const url = Object.assign(new URL(target), { port: String((proxy.address() as AddressInfo).port) }).href;
    const pool = createPool({ url, max: 2, applicationName: 'wake test', onError: () => undefined });
    const wake = createWake(pool, 'proofline_leaf');
    await wake.wait(LONG_MS, never);
    expect(connections).toBe(2);
    await wake.close();
    await pool.end();
    await new Promise((resolve) => proxy.close(resolve));
  });
});
