import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLicensing } from '../../activities/licences/import-grant.ts';
import { systemClock } from '../../domain/clock.ts';
import { workflowIds } from '../../domain/ids.ts';
import { grantHash } from '../../domain/licence/grant.ts';
import { readImportOutcome, requestImport } from '../../store/licence-imports.ts';
import { takeDueMotion } from '../../store/outbox.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createTestIssuer, TEST_INSTANCE, type TestIssuer } from '../support/grants.ts';
import { keepHistory } from '../support/keep-history.ts';
import { coverLeaves, seedQueuedProofs } from '../support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';
import { createWorkflowTest, type StandIns, type WorkflowTest } from '../support/workflow-run.ts';

const ORIGIN = 'log.example/import';
const clock = systemClock();
let temporal: WorkflowTest;
let test: TestDatabase;
let issuer: TestIssuer;
let tenant: SeededTenant;

beforeAll(async () => {
  [temporal, test, issuer] = await Promise.all([createWorkflowTest(), createTestDatabase(), createTestIssuer()]);
  tenant = await seedTenant(test.pool('proofline_owner'));
});
afterAll(async () => {
  await temporal.close();
  await test.drop();
});

const activities = (): StandIns =>
  createLicensing({
    db: test.pool('proofline_worker'),
    clock,
    issuers: issuer.jwks,
    instance: TEST_INSTANCE,
    origin: ORIGIN,
    publicUrl: 'https://p.example',
    heartbeat: () => {},
  });

/** Asks as the API does, starts what the outbox says, and waits for the end. */
async function importFile(jws: string) {
  const at = clock.nowMicros();
  const request = { id: randomUUID(), jws, dryRun: false, requestedBy: 'key:test', at };
  const id = await requestImport(test.pool('proofline_api'), request);
  const due = await takeDueMotion(test.pool('proofline_owner'), 10, clock.nowMicros());
  const start = due.find((motion) => (motion.payload as { importId?: string }).importId === id);
  if (start === undefined) throw new Error('no start is due');
  const handle = await temporal.client.workflow.start(start.name, {
    workflowId: start.workflowId,
    taskQueue: temporal.workflowQueue,
    args: [start.payload],
  });
  await handle.result();
  return { handle, outcome: await readImportOutcome(test.pool('proofline_api'), id) };
}

describe('importLicense', () => {
  it('ends well with a refusal as its outcome', async () => {
    await temporal.run(activities(), async () => {
      const jws = await (await createTestIssuer('stranger')).issue(tenant.tenantId);
      const { outcome } = await importFile(jws);
      expect(outcome).toMatchObject({ state: 'REFUSED', code: 'GRANT_SIGNATURE_INVALID' });
    });
  });

  it('applies a grant, serves who waited and owes their batch its wake, with no grant in its history', async () => {
    const owner = test.pool('proofline_owner');
    const { batchId, proofIds } = await seedQueuedProofs(owner, 3, {
      tenantId: tenant.tenantId,
      orgUnitId: tenant.orgUnitId,
      state: 'AWAITING_LICENSE',
    });
    await coverLeaves(owner, { origin: ORIGIN });
    await temporal.run(activities(), async () => {
      const jws = await issuer.issue(tenant.tenantId);
      const { handle, outcome } = await importFile(jws);
      expect(outcome).toMatchObject({ state: 'APPLIED' });
      expect(handle.workflowId).toBe(workflowIds.importLicense(grantHash(jws)));
      const { rows } = await owner.query('SELECT proof_id FROM certificates');
      expect(rows.map((row) => row.proof_id).sort()).toEqual([...proofIds].sort());
      const signals = await owner.query("SELECT workflow_id, name FROM outbox WHERE kind = 'signal'");
      expect(signals.rows).toEqual([{ workflow_id: `batch:${batchId}`, name: 'licencesGranted' }]);
      const history = await handle.fetchHistory();
      expect(JSON.stringify(history)).not.toContain(Buffer.from(jws).toString('base64').slice(0, 60));
      await keepHistory('importLicense', 'applied', history);
    });
  });
});
