import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { workflowIds } from '../../domain/ids.ts';
import { retryAnchor } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, untilFailureCode, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

/** An activity that answers from a list, the last answer again and again, and notes what it was asked. */
function scripted(answers: unknown[]) {
  const inputs: { isRetryAsked: boolean }[] = [];
  const left = [...answers];
  const anchorInContract = async (input: unknown): Promise<unknown> => {
    inputs.push(input as { isRetryAsked: boolean });
    const answer = left.length > 1 ? left.shift() : left[0];
    return answer;
  };
  return { activities: { anchorInContract }, inputs };
}

async function start(): Promise<WorkflowHandle> {
  const origin = `log.example/${randomUUID()}`;
  return temporal.client.workflow.start('anchorContract', {
    workflowId: workflowIds.anchorContract(origin, 42n),
    taskQueue: temporal.workflowQueue,
    args: [{ origin, size: '42' }],
  });
}

describe('anchorContract', () => {
  it('ends when the entry stands', async () => {
    const { activities, inputs } = scripted([{ attempt: 1, state: 'VERIFIED' }]);
    await temporal.run(activities, async () => {
      const handle = await start();
      await handle.result();
      expect(inputs).toHaveLength(1);
      await keepHistory('anchorContract', 'happy', await handle.fetchHistory());
    });
  });

  it('makes another attempt after one that never executes', async () => {
    const { activities, inputs } = scripted([
      { attempt: 1, state: 'EXPIRED', status: 'PROVEN_ABSENT' },
      { attempt: 2, state: 'VERIFIED' },
    ]);
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(inputs.map(({ isRetryAsked }) => isRetryAsked)).toEqual([false, false]);
    });
  });

  it('waits visibly for a person when the contract refuses, and tries again when told', async () => {
    const { activities, inputs } = scripted([
      { attempt: 1, state: 'FAILED', status: 'CONTRACT_REVERT_EXECUTED NotPublisher', isHeld: true },
      { attempt: 2, state: 'VERIFIED' },
    ]);
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_REJECTED');
      await handle.executeUpdate(retryAnchor);
      await handle.result();
      expect(inputs.map(({ isRetryAsked }) => isRetryAsked)).toEqual([false, true]);
      await keepHistory('anchorContract', 'refused', await handle.fetchHistory());
    });
  });

  it('never ends by itself what is suspect', async () => {
    const { activities, inputs } = scripted([
      { attempt: 1, state: 'SUSPECT', status: 'mirror one: mismatch', isHeld: true },
      { attempt: 1, state: 'SUSPECT', status: 'mirror one: mismatch', isHeld: true },
      { attempt: 1, state: 'VERIFIED' },
    ]);
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      expect(inputs).toHaveLength(1);
      await handle.executeUpdate(retryAnchor);
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      await handle.executeUpdate(retryAnchor);
      await handle.result();
      expect(inputs).toHaveLength(3);
    });
  });
});
