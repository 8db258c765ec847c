import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure, type WorkflowHandle, WorkflowUpdateFailedError } from '@temporalio/client';
import { ProoflineError } from '../../domain/errors.ts';
import { workflowIds } from '../../domain/ids.ts';
import { retryAnchor, retryNow } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

const at = (state: string, attempt = 1, status?: string) => ({
  attempt,
  state,
  ...(status !== undefined && { status }),
});
const HAPPY = {
  prepareAnchor: [at('PREPARED')],
  submitAnchor: [at('SENT', 1, 'OK')],
  awaitAnchorReceipt: [at('CONSENSUS')],
  confirmAnchor: [at('VERIFIED')],
};

/** Activities that answer from a list, the last answer again and again, and note their calls. */
function scripted(script: Record<string, unknown[]>): { readonly activities: StandIns; readonly calls: string[] } {
  const calls: string[] = [];
  const activities = Object.fromEntries(
    Object.entries(script).map(([name, list]) => {
      const answers = [...list];
      return [
        name,
        async () => {
          calls.push(name);
          const answer = answers.length > 1 ? answers.shift() : answers[0];
          if (answer instanceof Error) throw answer;
          return answer;
        },
      ];
    }),
  );
  return { activities, calls };
}

async function start(): Promise<WorkflowHandle> {
  const origin = `log.example/${randomUUID()}`;
  return temporal.client.workflow.start('anchorCheckpoint', {
    workflowId: workflowIds.anchorCheckpoint(origin, 42n),
    taskQueue: temporal.workflowQueue,
    args: [{ origin, size: '42' }],
  });
}

/** Waits until the run shows this failure code. */
async function untilFailureCode(handle: WorkflowHandle, code: string): Promise<void> {
  for (;;) {
    const { searchAttributes } = await handle.describe();
    if (searchAttributes.FailureCode?.[0] === code) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('anchorCheckpoint', () => {
  it('prepares, submits, awaits the receipt and confirms, once each', async () => {
    const { activities, calls } = scripted(HAPPY);
    await temporal.run(activities, async () => {
      const handle = await start();
      await handle.result();
      expect(calls).toEqual(['prepareAnchor', 'submitAnchor', 'awaitAnchorReceipt', 'confirmAnchor']);
      await keepHistory('anchorCheckpoint', 'happy', await handle.fetchHistory());
    });
  });

  it('skips what Postgres shows done', async () => {
    const { activities, calls } = scripted({ ...HAPPY, prepareAnchor: [at('CONSENSUS')] });
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls).toEqual(['prepareAnchor', 'confirmAnchor']);
    });
  });

  it('sends the same bytes again when they got lost', async () => {
    const { activities, calls } = scripted({
      ...HAPPY,
      awaitAnchorReceipt: [at('SENT', 1, 'RESEND'), at('CONSENSUS')],
    });
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls.filter((call) => call === 'submitAnchor')).toHaveLength(2);
    });
  });

  it('makes another attempt after one that never executes', async () => {
    const { activities, calls } = scripted({
      ...HAPPY,
      prepareAnchor: [at('PREPARED'), at('PREPARED', 2)],
      awaitAnchorReceipt: [at('EXPIRED', 1, 'PROVEN_ABSENT'), at('CONSENSUS', 2)],
    });
    await temporal.run(activities, async () => {
      const handle = await start();
      await handle.result();
      expect(calls.filter((call) => call === 'prepareAnchor')).toHaveLength(2);
      await keepHistory('anchorCheckpoint', 'second-attempt', await handle.fetchHistory());
    });
  });

  it('waits visibly for retryAnchor when the network refuses it for a reason of ours', async () => {
    const { activities, calls } = scripted({
      ...HAPPY,
      submitAnchor: [at('REJECTED', 1, 'INSUFFICIENT_PAYER_BALANCE'), at('SENT', 1, 'OK')],
    });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_REJECTED');
      expect((await handle.describe()).searchAttributes.WaitReason).toEqual(['OPERATOR']);
      await handle.executeUpdate(retryAnchor);
      await handle.result();
      expect(calls).toEqual([
        'prepareAnchor',
        'submitAnchor',
        'prepareAnchor',
        'submitAnchor',
        'awaitAnchorReceipt',
        'confirmAnchor',
      ]);
      await keepHistory('anchorCheckpoint', 'rejected', await handle.fetchHistory());
    });
  });

  it('shows an outage after the fast phase and tries again at once on retryNow', async () => {
    const away = new ProoflineError('SIGNER_REFUSED', 'policy');
    const { activities } = scripted({ ...HAPPY, prepareAnchor: [away, at('PREPARED')] });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'SIGNER_REFUSED');
      expect((await handle.describe()).searchAttributes.WaitReason).toEqual(['LEDGER']);
      await handle.signal(retryNow);
      await handle.result();
      await keepHistory('anchorCheckpoint', 'outage', await handle.fetchHistory());
    });
  });

  it('stays open when it is suspect, and refuses retryAnchor', async () => {
    const { activities, calls } = scripted({ ...HAPPY, confirmAnchor: [at('SUSPECT', 1, 'mirror: mismatch')] });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      const refusal = await handle.executeUpdate(retryAnchor).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(WorkflowUpdateFailedError);
      const { cause } = refusal as WorkflowUpdateFailedError;
      expect(cause instanceof ApplicationFailure && cause.type).toBe('LEDGER_SUSPECT');
      expect((await handle.describe()).status.name).toBe('RUNNING');
      expect(calls).toEqual(['prepareAnchor', 'submitAnchor', 'awaitAnchorReceipt', 'confirmAnchor']);
      await handle.terminate();
    });
  });
});
