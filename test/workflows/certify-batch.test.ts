import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import type { CertifyProofsResult } from '../../activities/certificates/certify-proofs.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { commandsApplied, evidenceComplete, licencesGranted, retryNow } from '../../workflows/messages.ts';
import { keepHistory } from '../support/keep-history.ts';
import { until } from '../support/until.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

const DONE: CertifyProofsResult = { closed: true, awaitingEvidence: 0, awaitingLicence: 0, complete: false };
const SEALED = { proofCount: 3, sealed: 3, failed: 0, complete: false };

/** Activities that answer from a list, the last answer again and again, and note their calls. */
function scripted(script: Record<string, unknown[]>): { readonly activities: StandIns; readonly calls: string[] } {
  const calls: string[] = [];
  const activities = Object.fromEntries(
    Object.entries(script).map(([name, answers]) => [
      name,
      async () => {
        calls.push(name);
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        if (answer instanceof Error) throw answer;
        return answer;
      },
    ]),
  );
  return { activities, calls };
}

async function start(): Promise<WorkflowHandle> {
  const batchId = randomUUID();
  return temporal.client.workflow.start('certifyBatch', {
    workflowId: `batch:${batchId}`,
    taskQueue: temporal.workflowQueue,
    args: [{ batchId, generation: 1, proofCount: 3, anchorPolicy: 'NONE', tenantIds: [] }],
  });
}

/** Waits until the history holds `count` events of a type. */
async function untilEvents(handle: WorkflowHandle, type: string, count: number): Promise<void> {
  const seen = async () => {
    const { events } = await handle.fetchHistory();
    return (events ?? []).filter((event) => event[type as keyof typeof event] != null).length;
  };
  await until(seen, (events) => events >= count);
}

const untilWaiting = (handle: WorkflowHandle, activities: number) =>
  untilEvents(handle, 'activityTaskCompletedEventAttributes', activities);

describe('certifyBatch', () => {
  it('seals, is woken once by complete evidence, and certifies, within 22 events', async () => {
    const { activities, calls } = scripted({ sealBatch: [SEALED], certifyProofs: [DONE] });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilWaiting(handle, 1);
      await handle.signal(evidenceComplete);
      await handle.result();
      expect(calls).toEqual(['sealBatch', 'certifyProofs']);
      const history = await handle.fetchHistory();
      expect(history.events?.length).toBeLessThanOrEqual(22);
      await keepHistory('certifyBatch', 'happy', history);
    });
  });

  it('does not wait for a wake when the evidence was complete before it could be armed', async () => {
    const { activities, calls } = scripted({ sealBatch: [{ ...SEALED, complete: true }], certifyProofs: [DONE] });
    await temporal.run(activities, async () => {
      await (await start()).result();
      expect(calls).toEqual(['sealBatch', 'certifyProofs']);
    });
  });

  it('keeps a wake that arrives while the batch is being sealed', async () => {
    const sealing = Promise.withResolvers<typeof SEALED>();
    const activities: StandIns = { sealBatch: () => sealing.promise, certifyProofs: async () => DONE };
    await temporal.run(activities, async () => {
      const handle = await start();
      await handle.signal(evidenceComplete);
      sealing.resolve(SEALED);
      await handle.result();
    });
  });

  it('stays open for proofs without a licence and goes on when they are granted', async () => {
    const waiting: CertifyProofsResult = { closed: false, awaitingEvidence: 0, awaitingLicence: 2, complete: false };
    const { activities, calls } = scripted({ sealBatch: [SEALED], certifyProofs: [waiting, DONE] });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilWaiting(handle, 1);
      await handle.signal(evidenceComplete);
      await untilEvents(handle, 'upsertWorkflowSearchAttributesEventAttributes', 2);
      await untilWaiting(handle, 2);
      const description = await handle.describe();
      expect(description.searchAttributes.WaitReason).toEqual(['LICENSE']);
      await handle.signal(licencesGranted);
      await handle.result();
      expect(calls).toEqual(['sealBatch', 'certifyProofs', 'certifyProofs']);
      await keepHistory('certifyBatch', 'licence-wait', await handle.fetchHistory());
    });
  });

  it('looks again when support verbs were applied, before its seal and while it waits, and ends when nothing is left', async () => {
    const sealing = Promise.withResolvers<typeof SEALED>();
    const waiting: CertifyProofsResult = { closed: false, awaitingEvidence: 2, awaitingLicence: 0, complete: false };
    const { activities, calls } = scripted({ certifyProofs: [waiting, DONE] });
    await temporal.run({ ...activities, sealBatch: () => sealing.promise }, async () => {
      const handle = await start();
      await handle.signal(commandsApplied);
      sealing.resolve(SEALED);
      await untilWaiting(handle, 2);
      await untilEvents(handle, 'upsertWorkflowSearchAttributesEventAttributes', 2);
      await handle.signal(commandsApplied);
      await handle.result();
      expect(calls).toEqual(['certifyProofs', 'certifyProofs']);
      await keepHistory('certifyBatch', 'commands', await handle.fetchHistory());
    });
  });

  it('shows what it waits for after the fast phase and tries again at once on retryNow', async () => {
    const refused = new ProoflineError('SIGNER_REFUSED', 'policy');
    const { activities, calls } = scripted({
      sealBatch: [refused, { ...SEALED, complete: true }],
      certifyProofs: [DONE],
    });
    await temporal.run(activities, async () => {
      const handle = await start();
      await untilEvents(handle, 'upsertWorkflowSearchAttributesEventAttributes', 1);
      const { searchAttributes } = await handle.describe();
      expect(searchAttributes).toMatchObject({ WaitReason: ['SIGNER'], FailureCode: ['SIGNER_REFUSED'] });
      await handle.signal(retryNow);
      await handle.result();
      expect(calls).toEqual(['sealBatch', 'sealBatch', 'certifyProofs']);
      await keepHistory('certifyBatch', 'signer-outage', await handle.fetchHistory());
    });
  });
});
