import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { CertifyProofsResult } from '../../activities/certificates/certify-proofs.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { LICENCE_RECHECK_MS, SLOW_RETRY_MS } from '../../workflows/policies.ts';
import { createTimeSkipping } from '../support/time-skipping.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

const DAY_MS = 86_400_000;
const DONE: CertifyProofsResult = { closed: true, awaitingEvidence: 0, awaitingLicence: 0, complete: false };
const UNLICENSED: CertifyProofsResult = { closed: false, awaitingEvidence: 0, awaitingLicence: 3, complete: false };

const environment = await createTimeSkipping();
const whereTimeSkips = environment === undefined ? describe.skip : describe;

whereTimeSkips('certifyBatch over weeks', () => {
  const server = environment as TestWorkflowEnvironment;
  let temporal: WorkflowTest;
  beforeAll(async () => {
    temporal = await createWorkflowTest({ address: server.address, namespace: 'default' });
  });
  afterAll(async () => {
    await temporal.close();
    await server.teardown();
  });

  /** Runs one batch to its end and says how long that took on the server's clock, in milliseconds. */
  const lifetimeOf = (activities: StandIns): Promise<number> =>
    temporal.run(activities, async () => {
      const batchId = randomUUID();
      const workflowId = `batch:${batchId}`;
      const args = [{ batchId, generation: 1, proofCount: 3, anchorPolicy: 'NONE', tenantIds: [] }];
      await temporal.client.workflow.start('certifyBatch', { workflowId, taskQueue: temporal.workflowQueue, args });
      const handle = server.client.workflow.getHandle(workflowId);
      await handle.result();
      const { startTime, closeTime } = await handle.describe();
      return (closeTime?.getTime() ?? 0) - startTime.getTime();
    });

  it('outlasts a signer that refuses for a day, tried every five minutes', async () => {
    const rounds = DAY_MS / SLOW_RETRY_MS;
    let tries = 0;
    const tookMs = await lifetimeOf({
      sealBatch: async () => {
        if (++tries <= rounds) throw new ProoflineError('SIGNER_REFUSED', 'policy');
        return { proofCount: 3, sealed: 3, failed: 0, complete: true };
      },
      certifyProofs: async () => DONE,
    });
    expect(tries).toBe(rounds + 1);
    expect(tookMs).toBeGreaterThanOrEqual(DAY_MS);
    expect(tookMs).toBeLessThan(1.1 * DAY_MS);
  });

  it('waits ninety days for a licence, looking by itself four times a day', async () => {
    const looks = (90 * DAY_MS) / LICENCE_RECHECK_MS;
    let seen = 0;
    const tookMs = await lifetimeOf({
      sealBatch: async () => ({ proofCount: 3, sealed: 3, failed: 0, complete: true }),
      certifyProofs: async () => (seen++ < looks ? UNLICENSED : DONE),
    });
    expect(seen).toBe(looks + 1);
    expect(tookMs).toBeGreaterThanOrEqual(90 * DAY_MS);
    expect(tookMs).toBeLessThan(91 * DAY_MS);
  });
});
