import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import type { BatchStart } from '../store/batches.ts';
import type { Motion } from '../store/outbox.ts';
import { searchAttributes } from '../workflows/messages.ts';

/**
 * An anchor that was given up may be asked for again, and a PDF's level that was put off; a run that finds its work done ends
 * at once.
 */
const REUSE: Readonly<Record<string, 'REJECT_DUPLICATE' | 'ALLOW_DUPLICATE'>> = {
  certifyBatch: 'REJECT_DUPLICATE',
  anchorCheckpoint: 'ALLOW_DUPLICATE',
  renderCertificate: 'ALLOW_DUPLICATE',
};

/** A call to Temporal that takes longer is given up; its row is delivered again. */
const DEADLINE_MS = 10_000;

export interface MotionDelivery {
  readonly client: Client;
  /** The queue that workflows run on. */
  readonly workflowQueue: string;
}

/**
 * Brings one start or signal to Temporal. Repeating it does nothing: a start that finds its workflow, running or
 * done, counts as delivered; so does a signal whose workflow is gone, since the next run asks Postgres first.
 */
export async function deliverMotion(delivery: MotionDelivery, motion: Motion): Promise<void> {
  await delivery.client.withDeadline(Date.now() + DEADLINE_MS, async () => {
    if (motion.kind === 'signal') return signal(delivery.client.workflow.getHandle(motion.workflowId), motion.name);
    try {
      await delivery.client.workflow.start(motion.name, {
        workflowId: motion.workflowId,
        taskQueue: delivery.workflowQueue,
        args: [motion.payload],
        workflowIdReusePolicy: REUSE[motion.name] ?? 'ALLOW_DUPLICATE_FAILED_ONLY',
        ...(motion.name === 'certifyBatch' && describeBatch(motion.payload as BatchStart)),
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  });
}

async function signal(handle: WorkflowHandle, name: string): Promise<void> {
  try {
    await handle.signal(name);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}

function describeBatch(start: BatchStart) {
  return {
    typedSearchAttributes: new TypedSearchAttributes([
      { key: searchAttributes.tenantIds, value: [...start.tenantIds] },
      { key: searchAttributes.batchSize, value: start.proofCount },
      { key: searchAttributes.batchStage, value: 'SEALING' },
    ]),
    staticSummary: `${start.proofCount} ${start.proofCount === 1 ? 'proof' : 'proofs'}${start.mayGrow === true ? ' and those that join' : ''}, anchor ${start.anchorPolicy}`,
  };
}
