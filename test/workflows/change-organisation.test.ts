import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ProoflineError } from '../../domain/errors.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

let temporal: WorkflowTest;
beforeAll(async () => {
  temporal = await createWorkflowTest();
});
afterAll(() => temporal.close());

/** Runs one change to its end and keeps its history under this name. */
async function runChange(path: string, activities: StandIns): Promise<void> {
  await temporal.run(activities, async () => {
    const handle = await temporal.client.workflow.start('changeOrganisation', {
      workflowId: `test-org-change:${randomUUID()}`,
      taskQueue: temporal.workflowQueue,
      args: [{ changeId: randomUUID() }],
    });
    await handle.result();
    await keepHistory('changeOrganisation', path, await handle.fetchHistory());
  });
}

describe('changeOrganisation', () => {
  it('serves who the change gives room, as long as there is more, and repeats what an outage refused', async () => {
    const tenantId = randomUUID();
    const drained: unknown[] = [];
    let served = 0;
    let tries = 0;
    await runChange('applied', {
      changeOrganisation: async () => {
        if (++tries === 1) throw new ProoflineError('STORE_UNAVAILABLE', 'no connection');
        return { state: 'APPLIED', tenantId };
      },
      drainLicences: async (input: { readonly tenantId: string }) => {
        drained.push(input.tenantId);
        return { drafted: 2_000, more: drained.length < 2 };
      },
      markServed: async () => void served++,
    });
    expect({ tries, drained, served }).toEqual({ tries: 2, drained: [tenantId, tenantId], served: 1 });
  });

  it('ends well with a refusal, and serves nobody', async () => {
    let drains = 0;
    await runChange('refused', {
      changeOrganisation: async () => ({ state: 'REFUSED', tenantId: randomUUID(), code: 'GRANT_ALLOCATION_INVALID' }),
      drainLicences: async () => ({ drafted: 0, more: ++drains < 0 }),
    });
    expect(drains).toBe(0);
  });
});
