import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { activityInfo } from '@temporalio/activity';
import type { WorkflowHandle, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { CertifyProofsResult } from '../../activities/certificates/certify-proofs.ts';
import { startTemporal, type Temporal } from '../../local/temporal/start-temporal.ts';
import { readSearchAttributes } from '../../temporal-config/search-attributes.ts';
import { commandsApplied, licencesGranted } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { until } from '../support/until.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

/** Events after which this server suggests to go on in a new run; by default 4,096. */
const LONG = 40;
const WITHIN_MS = 20_000;

let dir: string;
let server: Temporal;
let temporal: WorkflowTest;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-continue-'));
  server = await startTemporal({
    dbFile: join(dir, 'temporal.db'),
    uiPort: false,
    searchAttributes: readSearchAttributes(),
    dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': LONG },
  });
  temporal = await createWorkflowTest(server);
}, 60_000);
afterAll(async () => {
  await temporal.close();
  await server.stop();
  await rm(dir, { recursive: true, force: true });
});

const SEALED = { proofCount: 3, sealed: 3, failed: 0, complete: true };
const DONE: CertifyProofsResult = { closed: true, awaitingEvidence: 0, awaitingLicence: 0, complete: false };

async function start(): Promise<WorkflowHandleWithFirstExecutionRunId> {
  const batchId = randomUUID();
  return temporal.client.workflow.start('certifyBatch', {
    workflowId: `batch:${batchId}`,
    taskQueue: temporal.workflowQueue,
    args: [{ batchId, generation: 1, proofCount: 3, anchorPolicy: 'NONE', tenantIds: [] }],
  });
}

/** Events of a type in the history of the newest run. */
async function countEvents(handle: WorkflowHandle, type: string): Promise<number> {
  const { events } = await temporal.client.workflow.getHandle(handle.workflowId).fetchHistory();
  return (events ?? []).filter((event) => event[type as keyof typeof event] != null).length;
}

const untilScheduled = (handle: WorkflowHandle, activities: number) =>
  until(
    () => countEvents(handle, 'activityTaskScheduledEventAttributes'),
    (count) => count >= activities,
    WITHIN_MS,
  );

async function fill(handle: WorkflowHandle): Promise<void> {
  for (let i = 0; i < LONG; i++) await handle.signal(commandsApplied);
}

const untilContinued = ({ workflowId, firstExecutionRunId }: WorkflowHandleWithFirstExecutionRunId) =>
  until(
    async () => (await temporal.client.workflow.getHandle(workflowId, firstExecutionRunId).describe()).status.name,
    (status) => status === 'CONTINUED_AS_NEW',
    WITHIN_MS,
  );

describe('certifyBatch whose history has grown long', () => {
  it('takes a wake that came while it certified into the run that goes on', async () => {
    const looking = Promise.withResolvers<CertifyProofsResult>();
    const runs: (string | undefined)[] = [];
    const activities: StandIns = {
      sealBatch: async () => SEALED,
      certifyProofs: async () => {
        const run = activityInfo().workflowExecution?.runId;
        if (!runs.includes(run)) runs.push(run);
        return runs.length === 1 ? looking.promise : DONE;
      },
    };
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilScheduled(handle, 2);
      await fill(handle);
      looking.resolve({ closed: false, awaitingEvidence: 2, awaitingLicence: 0, complete: false });
      await untilContinued(handle);
      await until(
        () => runs.length,
        (count) => count === 2,
        WITHIN_MS,
      );
      await handle.result();
      const next = temporal.client.workflow.getHandle(handle.workflowId);
      await keepHistory('certifyBatch', 'continued', await next.fetchHistory());
    });
  }, 60_000);

  it('goes on to look by itself for a licence', async () => {
    const sealing = Promise.withResolvers<typeof SEALED>();
    let answer: CertifyProofsResult = { closed: false, awaitingEvidence: 0, awaitingLicence: 2, complete: false };
    const activities: StandIns = { sealBatch: () => sealing.promise, certifyProofs: async () => answer };
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilScheduled(handle, 1);
      await fill(handle);
      sealing.resolve(SEALED);
      await untilContinued(handle);
      await until(
        () => countEvents(handle, 'timerStartedEventAttributes'),
        (count) => count === 1,
        WITHIN_MS,
      );
      answer = DONE;
      await temporal.client.workflow.getHandle(handle.workflowId).signal(licencesGranted);
      await handle.result();
    });
  }, 60_000);
});
