import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { systemClock } from '../domain/clock.ts';
import { type BatchId, workflowIds } from '../domain/ids.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { temporalForTest } from '../test/support/temporal.ts';
import { createBatchReconciliation, RESTING_A_PASS } from './reconcile-batches.ts';

const LATER = '2027-01-01T00:00:00Z';
const { address, namespace, taskQueue } = temporalForTest();
// In the order of their age.
const resting = Array.from({ length: RESTING_A_PASS + 20 }, () => randomUUID() as string as BatchId);
const sealing = randomUUID() as string as BatchId;
const woken = randomUUID() as string as BatchId;

let database: TestDatabase;
let connection: Connection;
let client: Client;
let asked: string[] = [];
let restarted = 0;
let pass: () => Promise<void>;

beforeAll(async () => {
  database = await createTestDatabase();
  connection = await Connection.connect({ address });
  client = new Client({
    connection,
    namespace,
    interceptors: {
      workflow: [
        {
          describe(input, next) {
            asked.push(input.workflowExecution.workflowId);
            return next(input);
          },
        },
      ],
    },
  });
  const insert = (ids: readonly BatchId[], state: string, isWoken = false) =>
    database.pool('proofline_owner').query(
      `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, state, is_woken, formed_at)
       SELECT id, 'NONE', 'express', 1, $2, $3, '2026-01-31T08:00:00Z'::timestamptz + n * interval '1 ms' FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)`,
      [ids, state, isWoken],
    );
  await insert(resting, 'SEALED');
  await insert([sealing], 'FORMED');
  await insert([woken], 'SEALED', true);
  const start = (id: BatchId) =>
    client.workflow.start('waits', { workflowId: workflowIds.certifyBatch(id, 1), taskQueue });
  const queue = [...resting, sealing, woken].values();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const id of queue) await start(id);
    }),
  );
  const reconcile = createBatchReconciliation({
    client,
    db: database.pool('proofline_worker'),
    clock: systemClock(),
    logger: pino({ level: 'silent' }),
    onRestart: () => restarted++,
  });
  pass = () => reconcile(LATER);
}, 60_000);
afterAll(async () => {
  await connection.close();
  await database.drop();
});

/** The runs that the next pass asks Temporal for, in no order. */
async function asks(): Promise<string[]> {
  asked = [];
  await pass();
  return asked.sort();
}
const runsOf = (ids: readonly BatchId[]) => ids.map((id) => workflowIds.certifyBatch(id, 1)).sort();

describe('a pass over open batches', () => {
  it('asks for the runs of all that move, and of those at rest in turn', async () => {
    expect(await asks()).toEqual(runsOf([sealing, woken, ...resting.slice(0, RESTING_A_PASS)]));
    expect(await asks()).toEqual(runsOf([sealing, woken, ...resting.slice(RESTING_A_PASS)]));
    expect(await asks()).toEqual(runsOf([sealing, woken, ...resting.slice(0, RESTING_A_PASS)]));
    await pass();
    expect(restarted).toBe(0);
  });

  it('asks for all of those behind one that is gone, and starts each that is gone under its next generation', async () => {
    for (const id of [resting[3], resting.at(-1)])
      await client.workflow.getHandle(workflowIds.certifyBatch(id as BatchId, 1)).terminate('by an operator');
    expect(await asks()).toEqual(runsOf([sealing, woken, ...resting]));
    expect(restarted).toBe(2);
    const { rows } = await database
      .pool('proofline_owner')
      .query("SELECT workflow_id FROM outbox WHERE kind = 'start' ORDER BY 1");
    expect(rows.map((row) => row.workflow_id)).toEqual(
      [resting[3], resting.at(-1)].map((id) => workflowIds.certifyBatch(id as BatchId, 2)).sort(),
    );
    // Whose start is owed is not asked for.
    expect(await asks()).toHaveLength(2 + RESTING_A_PASS);
  });
});
