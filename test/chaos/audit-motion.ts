/** Motion ends with what it moved: a run that goes on for a batch that has its end would wait for ever. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type { Stack } from '../../local/stack/start-stack.ts';
import type { Audit } from './finding.ts';

/** A run ends a moment after its batch, and its listing a moment after that. */
const WITHIN_MS = 60_000;
const RUNNING = "WorkflowType = 'certifyBatch' AND ExecutionStatus = 'Running'";

export async function auditMotion({ info }: Stack): Promise<Audit> {
  const connection = await Connection.connect({ address: info.temporalAddress });
  const { workflow } = new Client({ connection });
  try {
    for (const deadline = Date.now() + WITHIN_MS; Date.now() < deadline; await delay(500))
      if ((await workflow.count(RUNNING)).count === 0) return { faults: [], figures: {} };
    const faults: string[] = [];
    for await (const { workflowId } of workflow.list({ query: RUNNING }))
      if (faults.push(`the run ${workflowId} goes on though every batch is closed`) === 5) break;
    return { faults, figures: {} };
  } finally {
    await connection.close();
  }
}
