import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { workflowIds } from '../../domain/ids.ts';
import { ORIGIN } from '../../local/stack/local-parts.ts';
import type { RunningPart } from '../../local/stack/part.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { readSchedules } from '../../temporal-config/schedules.ts';
import { createTestClient, type SubmissionView, type TestClient } from '../e2e/client.ts';
import { seedTenant } from '../support/seed.ts';
import { grantOfStack } from '../support/stack-grant.ts';

const WITHIN_MS = 60_000;

let dataDir: string;
let stack: Stack;
let client: TestClient;
let owner: Db;
let connection: Connection;
let temporal: Client;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-motion-'));
  stack = await startStack({
    dataDir,
    ports: 'any',
    logLevel: 'warn',
    consensusDelayMs: 30,
    settings: {
      workers: { PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '200', PROOFLINE_TIMESTAMP_WINDOW_MS: '100' },
      relay: { PROOFLINE_RECONCILE_MS: '300', PROOFLINE_RECONCILE_GRACE_MS: '500' },
    },
  });
  client = createTestClient(stack);
  owner = createPool({ url: stack.info.postgresUrl, max: 2, applicationName: 'motion', onError: () => undefined });
  connection = Connection.lazy({ address: stack.info.temporalAddress });
  temporal = new Client({ connection });
}, 120_000);

afterAll(async () => {
  await connection?.close();
  await owner?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

function part(name: string): RunningPart {
  const found = stack.parts.get(name);
  if (found === undefined) throw new Error(`no part ${name}`);
  return found;
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + WITHIN_MS;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > deadline) throw new Error(`not within ${WITHIN_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A batch that waits for its anchor, since the ledger is stopped: sealed, timestamped, its workflow running. */
async function submitWaiting(): Promise<{
  proof: string;
  submission: SubmissionView;
  batch: string;
  workflowId: string;
}> {
  const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
  await client.untilState(proof.id, ['TIMESTAMPED']);
  return {
    proof: proof.id,
    submission: { id: proof.submission } as SubmissionView,
    ...(await batchOf(proof.submission)),
  };
}

async function batchOf(submission: string): Promise<{ batch: string; workflowId: string }> {
  const { rows } = await owner.query<{ id: string; generation: number }>(
    'SELECT b.id, b.generation FROM batches b JOIN submissions s ON s.batch_id = b.id WHERE s.id = $1',
    [submission],
  );
  const { id = '', generation = 0 } = rows[0] ?? {};
  return { batch: id, workflowId: workflowIds.certifyBatch(id as never, generation) };
}

async function generationOf(batch: string): Promise<number> {
  const { rows } = await owner.query<{ generation: number }>('SELECT generation FROM batches WHERE id = $1', [batch]);
  return rows[0]?.generation ?? 0;
}

const statusOf = async (workflowId: string): Promise<string> =>
  (await temporal.workflow.getHandle(workflowId).describe()).status.name;

/** One unit, one leaf, one certificate for each of them, whatever happened to their workflow. */
async function expectOnce(submission: string, count: number): Promise<void> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS proofs, count(DISTINCT l.index)::int AS leaves, count(DISTINCT c.number)::int AS certificates, count(DISTINCT k.proof_id)::int AS units
     FROM proofs p JOIN leaves l ON l.proof_id = p.id JOIN certificates c ON c.proof_id = p.id AND c.signature IS NOT NULL JOIN licence_consumptions k ON k.proof_id = p.id
     WHERE p.submission_id = $1`,
    [submission],
  );
  expect(rows[0]).toEqual({ proofs: count, leaves: count, certificates: count, units: count });
}

/** Runs of batches end soon after their batches; none waits for ever. */
const untilNoBatchRuns = (): Promise<true> =>
  until('no run of a batch is left', async () => {
    const { count } = await temporal.workflow.count("WorkflowType = 'certifyBatch' AND ExecutionStatus = 'Running'");
    return count === 0 ? true : undefined;
  });

describe('a batch whose workflow ends in Temporal', () => {
  it.each([
    ['terminated', (id: string) => temporal.workflow.getHandle(id).terminate('by an operator')],
    ['cancelled', (id: string) => temporal.workflow.getHandle(id).cancel()],
  ])(
    'as %s goes on under its next generation and loses no proof',
    async (_how, end) => {
      await part('hedera').stop();
      const waiting = await submitWaiting();
      try {
        await end(waiting.workflowId);
        await until('the next generation', async () => ((await generationOf(waiting.batch)) === 2 ? true : undefined));
        const next = workflowIds.certifyBatch(waiting.batch as never, 2);
        await until('the next run', () => statusOf(next).catch(() => undefined));
      } finally {
        await part('hedera').start();
      }
      expect((await client.untilFinal(waiting.submission.id)).states).toEqual({ CERTIFIED: 1 });
      await expectOnce(waiting.submission.id, 1);
    },
    120_000,
  );

  it('goes on under its next generation without the anchor that an operator released it from, the ledger still away', async () => {
    await part('hedera').stop();
    const waiting = await submitWaiting();
    try {
      await part('workers').stop();
      const answer = await client.request('POST', `/v1/proofs/${waiting.proof}/certify-without-anchor`, {
        body: { reason: 'a drill' },
        key: stack.info.operatorKey,
      });
      expect(answer.status).toBe(200);
      await until('the wake delivered to the run that is to end', async () => {
        const { rows } = await owner.query('SELECT FROM outbox WHERE workflow_id = $1', [waiting.workflowId]);
        return rows.length === 0 ? true : undefined;
      });
      await temporal.workflow.getHandle(waiting.workflowId).terminate('by an operator');
      await part('workers').start();
      expect((await client.untilFinal(waiting.submission.id)).states).toEqual({ CERTIFIED_NO_ANCHOR: 1 });
      expect(await generationOf(waiting.batch)).toBe(2);
    } finally {
      await part('hedera').start();
    }
    await expectOnce(waiting.submission.id, 1);
  }, 120_000);

  it('takes along a former run that an operator set going again', async () => {
    await part('hedera').stop();
    const waiting = await submitWaiting();
    const next = workflowIds.certifyBatch(waiting.batch as never, 2);
    try {
      await temporal.workflow.getHandle(waiting.workflowId).terminate('by an operator');
      await until('the next run', () => statusOf(next).catch(() => undefined));
      await reset(waiting.workflowId, BEFORE_WAKE);
      expect(await statusOf(waiting.workflowId)).toBe('RUNNING');
    } finally {
      await part('hedera').start();
    }
    expect((await client.untilFinal(waiting.submission.id)).states).toEqual({ CERTIFIED: 1 });
    await untilNoBatchRuns();
    await expectOnce(waiting.submission.id, 1);
  }, 120_000);

  it('is woken again when a reset took its wake back', async () => {
    await part('hedera').stop();
    const waiting = await submitWaiting();
    const handle = temporal.workflow.getHandle(waiting.workflowId);
    const history = await handle.fetchHistory();
    const completed = history.events?.findLast((event) => event.workflowTaskCompletedEventAttributes != null);
    await part('workers').stop();
    await part('hedera').start();
    try {
      // Evidence that came while nobody worked: complete, and the wake delivered into the old run alone.
      await owner.query("UPDATE batches SET evidence_complete_at = now() - interval '1 hour' WHERE id = $1", [
        waiting.batch,
      ]);
      await temporal.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: waiting.workflowId },
        reason: 'by an operator',
        workflowTaskFinishEventId: completed?.eventId ?? null,
        requestId: crypto.randomUUID(),
        resetReapplyType: 2,
      });
      await until('another wake', async () => {
        const signals = (await handle.fetchHistory()).events?.filter((e) => e.workflowExecutionSignaledEventAttributes);
        return signals !== undefined && signals.length > 0 ? true : undefined;
      });
    } finally {
      await part('workers').start();
    }
    expect((await client.untilFinal(waiting.submission.id)).states).toEqual({ CERTIFIED: 1 });
    await expectOnce(waiting.submission.id, 1);
    expect(await generationOf(waiting.batch)).toBe(1);
  }, 180_000);
});

type Choice = (events: readonly HistoryEvent[]) => HistoryEvent | undefined;
type HistoryEvent = NonNullable<Awaited<ReturnType<WorkflowHandle['fetchHistory']>>['events']>[number];

const isTaskDone = (event: HistoryEvent): boolean => event.workflowTaskCompletedEventAttributes != null;
/** The first decision, to seal: all that came after is done again. */
const BEFORE_SEAL: Choice = (events) => events.find(isTaskDone);
/** The decision to wait for the evidence: the wake that came after it is lost. */
const BEFORE_WAKE: Choice = (events) => {
  const seal = events.find((e) => e.activityTaskScheduledEventAttributes?.activityType?.name === 'sealBatch');
  const sealed = events.find(
    (e) => String(e.activityTaskCompletedEventAttributes?.scheduledEventId) === String(seal?.eventId),
  );
  return events.slice(events.indexOf(sealed as HistoryEvent)).find(isTaskDone);
};

/** As `temporal workflow reset --event-id … --reapply-type None` does. Returns once the new run is there. */
async function reset(workflowId: string, pick: Choice): Promise<void> {
  const handle = temporal.workflow.getHandle(workflowId);
  const { events } = await handle.fetchHistory();
  const { runId } = await handle.describe();
  const { runId: next } = await temporal.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId },
    reason: 'by an operator',
    workflowTaskFinishEventId: pick(events ?? [])?.eventId ?? null,
    requestId: crypto.randomUUID(),
    resetReapplyType: 2,
  });
  expect((await handle.describe()).runId).toBe(next);
  expect(next).not.toBe(runId);
}

/** How often the run that is there now was told to do this. */
async function timesOf(workflowId: string, activity: 'sealBatch' | 'certifyProofs'): Promise<number> {
  const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).filter((e) => e.activityTaskScheduledEventAttributes?.activityType?.name === activity).length;
}

const taskIds = async (workflowId: string): Promise<number> =>
  (await temporal.workflow.getHandle(workflowId).fetchHistory()).events?.filter(isTaskDone).length ?? 0;

describe('a batch whose run an operator resets', () => {
  it('to before its seal, while it waits for its anchor, seals nothing twice and certifies', async () => {
    await part('hedera').stop();
    const waiting = await submitWaiting();
    try {
      await reset(waiting.workflowId, BEFORE_SEAL);
      await until('the seal decided again', async () => ((await taskIds(waiting.workflowId)) > 1 ? true : undefined));
      expect(await timesOf(waiting.workflowId, 'sealBatch')).toBe(1);
    } finally {
      await part('hedera').start();
    }
    expect((await client.untilFinal(waiting.submission.id)).states).toEqual({ CERTIFIED: 1 });
    await expectOnce(waiting.submission.id, 1);
    expect(await generationOf(waiting.batch)).toBe(1);
    await untilDone(waiting.workflowId);
  }, 120_000);

  it.each([
    ['to before its seal', BEFORE_SEAL],
    ['to before the wake for its evidence, which is lost', BEFORE_WAKE],
  ])(
    '%s, its evidence complete and only a licence missing, certifies when there is one',
    async (_where, pick) => {
      const tenant = await seedTenant(owner);
      const proof = await client.submitOne({ anchorPolicy: 'REQUIRED', key: tenant.apiKey });
      await client.untilState(proof.id, ['AWAITING_LICENSE'], { key: tenant.apiKey });
      const { batch, workflowId } = await batchOf(proof.submission);
      const { rows } = await owner.query(
        'SELECT evidence_complete_at IS NOT NULL AS complete FROM batches WHERE id = $1',
        [batch],
      );
      expect(rows).toEqual([{ complete: true }]);
      await reset(workflowId, pick);
      // Sealed anew, it sees by itself that nothing is missing but the licence; else the licence wakes it.
      if (pick === BEFORE_SEAL)
        await until('another look', async () => ((await timesOf(workflowId, 'certifyProofs')) > 0 ? true : undefined));
      const text = await grantOfStack(dataDir, client, tenant.tenantId);
      const { operatorKey } = stack.info;
      await client.request('POST', '/v1/admin/licenses', { text, type: 'application/jose', key: operatorKey });
      await client.untilState(proof.id, ['CERTIFIED'], { key: tenant.apiKey });
      await expectOnce(proof.submission, 1);
      expect(await generationOf(batch)).toBe(1);
      await untilDone(workflowId);
    },
    120_000,
  );
});

async function untilDone(workflowId: string): Promise<void> {
  await until('the end of the run', async () => ((await statusOf(workflowId)) === 'COMPLETED' ? true : undefined));
}

describe('the log', () => {
  it('goes on after its workflow was terminated', async () => {
    await temporal.workflow.getHandle(workflowIds.runLog(ORIGIN)).terminate('by an operator');
    const proof = await client.submitOne({ anchorPolicy: 'REQUIRED' });
    await client.untilState(proof.id, ['CERTIFIED']);
  }, 60_000);
});

describe("Temporal's database, deleted under load", () => {
  it('costs nothing but time: every batch, anchor, schedule and the log are built again from Postgres', async () => {
    const submissions: { id: string; count: number }[] = [];
    let isOver = false;
    const load = (async () => {
      for (let n = 0; !isOver; n++) {
        const count = n % 4 === 3 ? 400 : 1 + (n % 3);
        const { id } = await client.submitMany(count, n % 2 === 0 ? '' : '?anchorPolicy=REQUIRED');
        submissions.push({ id, count });
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    })();
    try {
      await until('work under way', async () => {
        const { rows } = await owner.query("SELECT FROM batches WHERE state <> 'CLOSED' LIMIT 3");
        return rows.length === 3 ? true : undefined;
      });
      await part('temporal').stop();
      for (const end of ['', '-wal', '-shm']) await rm(join(dataDir, `temporal.db${end}`), { force: true });
      await part('temporal').start();
      const known = submissions.length;
      await until('more work after it', async () => (submissions.length > known + 20 ? true : undefined));
    } finally {
      isOver = true;
      await load;
    }
    const declared = readSchedules().map(({ id }) => id);
    await until('the schedules', async () => {
      const known = await Promise.all(
        declared.map((id) =>
          temporal.schedule
            .getHandle(id)
            .describe()
            .catch(() => undefined),
        ),
      );
      return known.every((schedule) => schedule !== undefined) ? true : undefined;
    });
    for (const { id, count } of submissions) {
      expect((await client.untilFinal(id, 90_000)).states).toEqual({ CERTIFIED: count });
      await expectOnce(id, count);
    }
    const { rows } = await owner.query('SELECT max(generation)::int AS generation FROM batches');
    expect(rows[0]?.generation).toBeGreaterThan(1);
    await until('every batch closed', async () => {
      const { rows: open } = await owner.query("SELECT FROM batches WHERE state <> 'CLOSED'");
      return open.length === 0 ? true : undefined;
    });
    await untilNoBatchRuns();
  }, 240_000);
});
