import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Context } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ProoflineError } from '../../domain/errors.ts';
import { workflowIds } from '../../domain/ids.ts';
import { retryNow, searchAttributes } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

/** A loop as the activities are: it goes on, heartbeating, until it is cancelled. */
async function goOn(): Promise<void> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 100);
  try {
    await context.cancelled;
  } finally {
    clearInterval(beat);
  }
}

async function start(): Promise<WorkflowHandle> {
  const origin = `log.example/${randomUUID()}`;
  return temporal.client.workflow.start('runLog', {
    workflowId: workflowIds.runLog(origin),
    taskQueue: temporal.workflowQueue,
    args: [{ origin }],
  });
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function attributesOf(handle: WorkflowHandle): Promise<{ waitReason: unknown; failureCode: unknown }> {
  const { typedSearchAttributes } = await handle.describe();
  return {
    waitReason: typedSearchAttributes.get(searchAttributes.waitReason),
    failureCode: typedSearchAttributes.get(searchAttributes.failureCode),
  };
}

describe('runLog', () => {
  it('keeps both loops running, starts again one that ended, and ends them when it is cancelled', async () => {
    const runs = { integrateLog: 0, stampLog: 0 };
    const activities = {
      integrateLog: async () => (++runs.integrateLog === 1 ? undefined : goOn()),
      stampLog: async () => {
        runs.stampLog++;
        return goOn();
      },
    };
    await temporal.run(activities, async () => {
      const handle = await start();
      await until('integrateLog runs again', () => runs.integrateLog === 2);
      expect(runs.stampLog).toBe(1);
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      await keepHistory('runLog', 'loop-ended', await handle.fetchHistory());
    });
  });

  it('leaves a loop that must not go on to an operator, while the other goes on, and tries again when told to', async () => {
    const runs = { integrateLog: 0, stampLog: 0 };
    const activities = {
      integrateLog: async () => {
        if (++runs.integrateLog === 1) throw new ProoflineError('LOG_ROLLBACK', 'head of 3 leaves, signed 5');
        return goOn();
      },
      stampLog: async () => {
        runs.stampLog++;
        return goOn();
      },
    };
    await temporal.run(activities, async () => {
      const handle = await start();
      await until('it waits', async () => (await attributesOf(handle)).waitReason === 'OPERATOR');
      expect(await attributesOf(handle)).toEqual({ waitReason: 'OPERATOR', failureCode: 'LOG_ROLLBACK' });
      expect(runs).toEqual({ integrateLog: 1, stampLog: 1 });
      await handle.signal(retryNow);
      await until('integrateLog runs again', () => runs.integrateLog === 2);
      await until('it waits no longer', async () => (await attributesOf(handle)).waitReason === undefined);
      await handle.cancel();
      await handle.result().catch(() => undefined);
      expect(runs).toEqual({ integrateLog: 2, stampLog: 1 });
      await keepHistory('runLog', 'rollback', await handle.fetchHistory());
    });
  });
});
