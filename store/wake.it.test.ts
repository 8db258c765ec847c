import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import type { Db } from './pool.ts';
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
});
