import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { workflowIds } from '../../domain/ids.ts';
import { grantHash } from '../../domain/licence/grant.ts';
import { readImportOutcome, requestImport } from '../../store/licence-imports.ts';
import { createTestIssuer } from '../support/grants.ts';
import { keepHistory } from '../support/keep-history.ts';
import { useLicensing } from '../support/licensing.ts';
import { coverLeaves, seedQueuedProofs } from '../support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';

const ORIGIN = 'log.example/import';
const clock = systemClock();
const licensing = useLicensing({ clock, origin: ORIGIN });
let tenant: SeededTenant;

beforeAll(async () => {
  tenant = await seedTenant(licensing.owner);
});

/** Asks as the API does, starts what the outbox says, and waits for the end. */
async function importFile(jws: string) {
  const at = clock.nowMicros();
  const request = { id: randomUUID(), jws, dryRun: false, requestedBy: 'key:test', at };
  const id = await requestImport(licensing.api, request);
  const handle = await licensing.carryOut(id);
  return { handle, outcome: await readImportOutcome(licensing.api, id) };
}

describe('importLicense', () => {
  it('ends well with a refusal as its outcome', async () => {
    await licensing.temporal.run(licensing.activities(), async () => {
      const jws = await (await createTestIssuer('stranger')).issue(tenant.tenantId);
      const { outcome } = await importFile(jws);
      expect(outcome).toMatchObject({ state: 'REFUSED', code: 'GRANT_ISSUER_UNKNOWN' });
    });
  });

  it('applies a grant, serves who waited and owes their batch its wake, with no grant in its history', async () => {
    const { owner, issuer } = licensing;
    const { batchId, proofIds } = await seedQueuedProofs(owner, 3, {
      tenantId: tenant.tenantId,
      orgUnitId: tenant.orgUnitId,
      state: 'AWAITING_LICENSE',
    });
    await coverLeaves(owner, { origin: ORIGIN });
    await licensing.temporal.run(licensing.activities(), async () => {
      const jws = await issuer.issue(tenant.tenantId);
      const { handle, outcome } = await importFile(jws);
      expect(outcome).toMatchObject({ state: 'APPLIED' });
      expect(handle.workflowId).toBe(workflowIds.importLicense(grantHash(jws)));
      const { rows } = await owner.query('SELECT proof_id FROM certificates');
      expect(rows.map((row) => row.proof_id).sort()).toEqual([...proofIds].sort());
      expect((await owner.query('SELECT batch_id FROM batch_wakes')).rows).toEqual([{ batch_id: batchId }]);
      const history = await handle.fetchHistory();
      expect(JSON.stringify(history)).not.toContain(Buffer.from(jws).toString('base64').slice(0, 60));
      await keepHistory('importLicense', 'applied', history);
    });
  });
});
