import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { systemClock } from '../domain/clock.ts';
import { enqueueMotion, type Motion } from '../store/outbox.ts';
import type { Db } from '../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { temporalForTest } from '../test/support/temporal.ts';
import { deliverDue, TAKE } from './deliver-due.ts';

const clock = systemClock();
let database: TestDatabase;
let db: Db;
let connection: Connection;
let client: Client;
const { address, namespace, taskQueue } = temporalForTest();
const sent: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.pool('proofline_worker');
  connection = await Connection.connect({ address });
  client = new Client({
    connection,
    namespace,
    interceptors: {
      workflow: [
        {
          signal(input, next) {
            sent.push(`${input.workflowExecution.workflowId} ${input.signalName}`);
            return next(input);
          },
          start(input, next) {
            sent.push(`${input.options.workflowId} start`);
            return next(input);
          },
        },
      ],
    },
  });
});
afterAll(async () => {
  await connection.close();
  await database.drop();
});

const signal = (workflowId: string, name: string): Motion => ({ kind: 'signal', workflowId, name, payload: {} });
const start = (workflowId: string): Motion => ({ kind: 'start', workflowId, name: 'waits', payload: {} });

describe('delivering the outbox', () => {
  it('sends one signal of a name to a workflow that is owed hundreds, and strikes all of them out', async () => {
    const [waiting, other] = [randomUUID(), randomUUID()];
    const rest = Array.from({ length: TAKE - 5 }, () => signal(waiting, 'commandsApplied'));
    const motions = [
      start(waiting),
      start(other),
      signal(waiting, 'commandsApplied'),
      signal(other, 'commandsApplied'),
      signal(waiting, 'evidenceComplete'),
      ...rest,
    ];
    await enqueueMotion(db, motions, clock.nowMicros());
    await deliverDue({ db, clock, client, workflowQueue: taskQueue, logger: pino({ level: 'silent' }) });
    expect((await db.query('SELECT FROM outbox')).rowCount).toBe(0);
    expect(sent.filter((call) => call.startsWith(waiting))).toEqual([
      `${waiting} start`,
      `${waiting} commandsApplied`,
      `${waiting} evidenceComplete`,
    ]);
    expect(sent.filter((call) => call.startsWith(other))).toEqual([`${other} start`, `${other} commandsApplied`]);
    const { events } = await client.workflow.getHandle(waiting).fetchHistory();
    expect(events?.filter((event) => event.workflowExecutionSignaledEventAttributes)).toHaveLength(2);
    for (const id of [waiting, other]) await client.workflow.getHandle(id).terminate();
  });
});
