import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { checkLicenceCounters } from './check-licence-counters.ts';
import { createPool, type Db, inTransaction } from './pool.ts';

let database: TestDatabase;
let pool: Db;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.url('proofline_worker'),
    max: 4,
    applicationName: 'pool test',
    idleInTransactionMs: 200,
    onError: () => {},
  });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

describe('a connection in use', () => {
  it('that the server ends fails its transaction as unavailable, and nothing else', async () => {
    const ended = inTransaction(pool, async (tx) => {
      const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const sleeping = tx.query('SELECT pg_sleep(30)');
      await pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
      await sleeping;
    });
    await expect(ended).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('that falls silent inside a transaction loses its locks, and cannot commit when it goes on', async () => {
    const lock = 'SELECT FROM anchor_windows WHERE "window" = \'express\' FOR UPDATE';
    const held = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const silent = inTransaction(pool, async (tx) => {
      await tx.query(lock);
      held.resolve();
      await goOn.promise;
      await tx.query('UPDATE anchor_windows SET needed_index = 7 WHERE "window" = \'express\'');
    });
    await held.promise;
    // Waits until the server has ended the other: nobody else would give the row free.
    await inTransaction(pool, (tx) => tx.query(lock));
    goOn.resolve();
    await expect(silent).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const { rows } = await pool.query('SELECT needed_index FROM anchor_windows WHERE "window" = \'express\'');
    expect(rows).toEqual([{ needed_index: null }]);
  });
});

describe('the nightly check of the licence counters', () => {
  it('outlasts the bound that other statements have, on the server and here', async () => {
    const impatient = createPool({
      url: database.url('proofline_worker'),
      max: 1,
      applicationName: 'impatient',
      statementTimeoutMs: 500,
      answerGraceMs: 500,
      onError: () => {},
    });
    const other = await database.pool('proofline_owner').connect();
    try {
      await other.query('BEGIN');
      await other.query('LOCK licence_consumptions IN ACCESS EXCLUSIVE MODE');
      const checked = checkLicenceCounters(impatient, '2026-01-31T09:00:00.000000Z');
      checked.catch(() => undefined);
      // Twice as long as we wait for another statement.
      await other.query('SELECT pg_sleep(2)');
      await other.query('COMMIT');
      expect(await checked).toEqual([]);
      await expect(impatient.query('SELECT pg_sleep(2)')).rejects.toThrow('statement timeout');
    } finally {
      other.release();
      await impatient.end();
    }
  });
});
