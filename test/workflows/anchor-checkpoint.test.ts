import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure, type WorkflowHandle, WorkflowUpdateFailedError } from '@temporalio/client';
import { ProoflineError } from '../../domain/errors.ts';
import { workflowIds } from '../../domain/ids.ts';
import { anchorCommanded, retryAnchor, retryNow } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { until } from '../support/until.ts';
import { createWorkflowTest, type StandIns, untilFailureCode, type WorkflowTest } from '../support/workflow-run.ts';

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
function scripted(script: Record<string, unknown[]>): {
  readonly activities: StandIns;
  readonly calls: string[];
  readonly inputs: (name: string) => unknown[];
} {
  const calls: string[] = [];
  const inputs: { name: string; input: unknown }[] = [];
  const activities = Object.fromEntries(
    Object.entries(script).map(([name, list]) => {
      const answers = [...list];
      return [
        name,
        async (input: unknown) => {
          calls.push(name);
          inputs.push({ name, input });
          const answer = answers.length > 1 ? answers.shift() : answers[0];
          if (answer instanceof Error) throw answer;
          return answer;
        },
      ];
    }),
  );
  return { activities, calls, inputs: (name) => inputs.filter((one) => one.name === name).map(({ input }) => input) };
}

async function start(): Promise<WorkflowHandle> {
  const origin = `log.example/${randomUUID()}`;
  return temporal.client.workflow.start('anchorCheckpoint', {
    workflowId: workflowIds.anchorCheckpoint(origin, 42n),
    taskQueue: temporal.workflowQueue,
    args: [{ origin, size: '42' }],
  });
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
    const rejected = { ...at('REJECTED', 1, 'INSUFFICIENT_PAYER_BALANCE'), isHeld: true };
    const { activities, calls, inputs } = scripted({
      ...HAPPY,
      submitAnchor: [rejected, at('SENT', 1, 'OK')],
      settleAnchor: [rejected, at('REJECTED')],
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
        'settleAnchor',
        'settleAnchor',
        'prepareAnchor',
        'submitAnchor',
        'awaitAnchorReceipt',
        'confirmAnchor',
      ]);
      expect(inputs('settleAnchor')).toMatchObject([{ isRetryAsked: false }, { isRetryAsked: true }]);
      await keepHistory('anchorCheckpoint', 'rejected', await handle.fetchHistory());
    });
  });

  it('does not even prepare what Postgres shows held, until Postgres shows a decision', async () => {
    const rejected = { ...at('FAILED', 1, 'INVALID_SIGNATURE'), isHeld: true };
    const { activities, calls } = scripted({
      ...HAPPY,
      prepareAnchor: [rejected, at('PREPARED', 2)],
      settleAnchor: [rejected, at('FAILED')],
    });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_REJECTED');
      expect(calls).toEqual(['prepareAnchor', 'settleAnchor']);
      await handle.signal(anchorCommanded);
      await handle.result();
      expect(calls.filter((call) => call === 'prepareAnchor')).toHaveLength(2);
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

  it('stays open when it is suspect, refuses retryAnchor, and ends when Postgres shows that it was abandoned', async () => {
    const suspect = { ...at('SUSPECT', 1, 'mirror: mismatch'), isHeld: true };
    const { activities, calls } = scripted({
      ...HAPPY,
      confirmAnchor: [suspect],
      settleAnchor: [suspect, suspect, { ...at('FAILED'), isAbandoned: true }],
    });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      const refusal = await handle.executeUpdate(retryAnchor).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(WorkflowUpdateFailedError);
      const { cause } = refusal as WorkflowUpdateFailedError;
      expect(cause instanceof ApplicationFailure && cause.type).toBe('LEDGER_SUSPECT');
      expect((await handle.describe()).status.name).toBe('RUNNING');
      expect(calls).toEqual(['prepareAnchor', 'submitAnchor', 'awaitAnchorReceipt', 'confirmAnchor', 'settleAnchor']);
      // A decision that Postgres refused leaves it where it is.
      await handle.signal(anchorCommanded);
      await until(
        () => calls,
        ({ length }) => length === 6,
      );
      await untilFailureCode(handle, 'LEDGER_SUSPECT');
      await handle.signal(anchorCommanded);
      await handle.result();
      expect(calls.slice(4)).toEqual(['settleAnchor', 'settleAnchor', 'settleAnchor']);
      await keepHistory('anchorCheckpoint', 'suspect', await handle.fetchHistory());
    });
  });

  it('ends as anchored when an operator accepts what was suspect', async () => {
    const { activities, calls } = scripted({
      ...HAPPY,
      prepareAnchor: [{ ...at('SUSPECT', 1), isHeld: true }],
      settleAnchor: [at('VERIFIED')],
    });
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls).toEqual(['prepareAnchor', 'settleAnchor']);
    });
  });
});
