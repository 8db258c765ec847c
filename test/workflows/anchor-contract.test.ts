import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type WorkflowHandle, WorkflowUpdateFailedError } from '@temporalio/client';
import { workflowIds } from '../../domain/ids.ts';
import { anchorCommanded, retryAnchor } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { until } from '../support/until.ts';
import { createWorkflowTest, untilFailureCode, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

/** Activities that answer from a list each, the last answer again and again, and note what they were asked. */
function scripted(anchoring: unknown[], settling: unknown[] = []) {
  const calls: string[] = [];
  const settled: { isRetryAsked: boolean }[] = [];
  const next = (name: string, left: unknown[]): unknown => {
    calls.push(name);
    return left.length > 1 ? left.shift() : left[0];
  };
  const [anchors, settles] = [[...anchoring], [...settling]];
  const activities = {
    anchorInContract: async (): Promise<unknown> => next('anchorInContract', anchors),
    settleContractAnchor: async (input: unknown): Promise<unknown> => {
      settled.push(input as { isRetryAsked: boolean });
      return next('settleContractAnchor', settles);
    },
  };
  return { activities, calls, settled };
}

async function start(): Promise<WorkflowHandle> {
  const origin = `log.example/${randomUUID()}`;
  return temporal.client.workflow.start('anchorContract', {
    workflowId: workflowIds.anchorContract(origin, 42n),
    taskQueue: temporal.workflowQueue,
    args: [{ origin, size: '42' }],
  });
}

const REFUSED = { attempt: 1, state: 'FAILED', status: 'CONTRACT_REVERT_EXECUTED NotPublisher', isHeld: true };
const SUSPECT = { attempt: 1, state: 'SUSPECT', status: 'mirror one: mismatch', isHeld: true };

describe('anchorContract', () => {
  it('ends when the entry stands', async () => {
    const { activities, calls } = scripted([{ attempt: 1, state: 'VERIFIED' }]);
    await temporal.run(activities, async () => {
      const handle = await start();
      await handle.result();
      expect(calls).toEqual(['anchorInContract']);
      await keepHistory('anchorContract', 'happy', await handle.fetchHistory());
    });
  });

  it('makes another attempt after one that never executes', async () => {
    const { activities, calls } = scripted([
      { attempt: 1, state: 'EXPIRED', status: 'PROVEN_ABSENT' },
      { attempt: 2, state: 'VERIFIED' },
    ]);
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls).toEqual(['anchorInContract', 'anchorInContract']);
    });
  });

  it('waits visibly for a person when the contract refuses, and tries again once Postgres shows a decision', async () => {
    const { activities, calls, settled } = scripted(
      [REFUSED, { attempt: 2, state: 'VERIFIED' }],
      [REFUSED, { attempt: 1, state: 'FAILED' }],
    );
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_REJECTED');
      expect((await handle.describe()).searchAttributes.WaitReason).toEqual(['OPERATOR']);
      await handle.signal(anchorCommanded);
      await handle.result();
      expect(calls).toEqual(['anchorInContract', 'settleContractAnchor', 'settleContractAnchor', 'anchorInContract']);
      expect(settled.map(({ isRetryAsked }) => isRetryAsked)).toEqual([false, false]);
      await keepHistory('anchorContract', 'refused', await handle.fetchHistory());
    });
  });

  it('finds a decision that was made before it ran, without a signal', async () => {
    const { activities, calls } = scripted(
      [REFUSED, { attempt: 2, state: 'VERIFIED' }],
      [{ attempt: 1, state: 'FAILED' }],
    );
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls).toEqual(['anchorInContract', 'settleContractAnchor', 'anchorInContract']);
    });
  });

  it('tries again on the update retryAnchor too', async () => {
    const { activities, settled } = scripted(
      [REFUSED, { attempt: 2, state: 'VERIFIED' }],
      [REFUSED, { attempt: 1, state: 'FAILED' }],
    );
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_REJECTED');
      await handle.executeUpdate(retryAnchor);
      await handle.result();
      expect(settled.map(({ isRetryAsked }) => isRetryAsked)).toEqual([false, true]);
      await keepHistory('anchorContract', 'updated', await handle.fetchHistory());
    });
  });

  it('never ends by itself what is suspect, refuses the update, and ends when Postgres shows that it was abandoned', async () => {
    const { activities, calls } = scripted(
      [SUSPECT],
      [SUSPECT, SUSPECT, { attempt: 1, state: 'FAILED', isAbandoned: true }],
    );
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      await expect(handle.executeUpdate(retryAnchor)).rejects.toBeInstanceOf(WorkflowUpdateFailedError);
      expect(calls).toEqual(['anchorInContract', 'settleContractAnchor']);
      // A decision that Postgres refused leaves it where it is.
      await handle.signal(anchorCommanded);
      await until(
        () => calls,
        ({ length }) => length === 3,
      );
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      await handle.signal(anchorCommanded);
      await handle.result();
      expect(calls.slice(2)).toEqual(['settleContractAnchor', 'settleContractAnchor']);
      await keepHistory('anchorContract', 'suspect', await handle.fetchHistory());
    });
  });
});
