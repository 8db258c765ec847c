import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { systemClock } from '../domain/clock.ts';
import { ensureLog } from '../store/log.ts';
import { type Db, inTransaction } from '../store/pool.ts';
import { markLooked, WOKEN } from '../store/wake-batches.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { temporalForTest } from '../test/support/temporal.ts';
import { until } from '../test/support/until.ts';
import { startRelay } from './relay.ts';

const clock = systemClock();
const ORIGIN = 'log.example/portions';
const HOUR_MS = 3_600_000;
const BATCHES = 3 * WOKEN;
const { address, namespace, taskQueue } = temporalForTest();

let database: TestDatabase;
let [db, owner]: Db[] = [];
let connection: Connection;
let relay: ReturnType<typeof startRelay> | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
  [db, owner] = [database.pool('proofline_worker'), database.pool('proofline_owner')];
  connection = await Connection.connect({ address });
  await inTransaction(pool(db), (tx) => ensureLog(tx, ORIGIN, clock.nowMicros()));
});
afterAll(async () => {
  await relay?.stop();
  await connection.close();
  await database.drop();
});

function pool(one: Db | undefined): Db {
  if (one === undefined) throw new Error('there is no database yet');
  return one;
}

describe('the relay', () => {
  it('wakes all batches that one anchor completes, no more at a time than have places', async () => {
    await pool(owner).query(
      `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, formed_at, sealed_at, max_leaf_index)
       SELECT id, 'REQUIRED', 'economy', 1, 'SEALED', now(), now(), 10 FROM unnest($1::uuid[]) AS u (id)`,
      [Array.from({ length: BATCHES }, () => randomUUID())],
    );
    await pool(owner).query(
      'UPDATE log_progress SET timestamped_size = 20, timestamp_cursor = 20, anchored_size = 20, anchor_cursor = 20',
    );
    relay = startRelay({
      db: pool(db),
      clock,
      client: new Client({ connection, namespace }),
      newId: randomUUID,
      logger: pino({ level: 'silent' }),
      origin: ORIGIN,
      workflowQueue: taskQueue,
      maxUnsealedBatches: 8,
      reconcileMs: HOUR_MS,
      reconcileGraceMs: HOUR_MS,
    });
    // Each portion looks once it is whole.
    const portions: number[] = [];
    for (let woken = 0; woken < BATCHES; woken += WOKEN) {
      const { rows } = await until(
        () => pool(owner).query('SELECT id FROM batches WHERE is_woken'),
        ({ rows }) => rows.length >= WOKEN,
      );
      portions.push(rows.length);
      for (const { id } of rows) await markLooked(pool(db), id);
    }
    expect(portions).toEqual([WOKEN, WOKEN, WOKEN]);
  });
});
