import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import { workflowIds } from '../../domain/ids.ts';
import { grantHash } from '../../domain/licence/grant.ts';
import { instanceFingerprint, issueRevocationList } from '../../domain/licence/issuers.ts';
import { REVOCATION_LIST_TYPE } from '../../domain/licence/revocation-list.ts';
import { drainLicences } from '../../store/drain-licences.ts';
import { requestImport } from '../../store/licence-imports.ts';
import { importGrant, insertGrant } from '../../store/licences.ts';
import { applyOrgChange, type OrgChange, requestOrgChange } from '../../store/org-changes.ts';
import { inTransaction } from '../../store/pool.ts';
import { createLogger } from '../../workers/logger.ts';
import { createReconciliation, type ReconcileDeps } from '../../workers/reconcile.ts';
import { baseGrant, TEST_INSTANCE } from '../support/grants.ts';
import { keepHistory } from '../support/keep-history.ts';
import { useLicensing } from '../support/licensing.ts';
import { coverLeaves, seedQueuedProofs } from '../support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../support/seed.ts';

const ORIGIN = 'log.example/changes';
const clock = systemClock();
const licensing = useLicensing({ clock, origin: ORIGIN });
let tenant: SeededTenant;
let grantId: string;

beforeAll(async () => {
  tenant = await seedTenant(licensing.owner);
  const allocations = [{ orgUnit: tenant.orgUnitId, limit: 1 }];
  const grant = { ...baseGrant(tenant.tenantId), quota: 10, allocations };
  grantId = grant.grantId;
  const file = { hash: 'a'.repeat(64), jws: '', by: 'test', now: clock.nowMicros() };
  await inTransaction(licensing.worker, (tx) => insertGrant(tx, grant, file));
});

/** Two proofs that were told to wait; returns their batch. */
async function makeWaiters(): Promise<string> {
  const { batchId } = await seedQueuedProofs(licensing.owner, 2, {
    ...tenant,
    state: 'AWAITING_LICENSE',
  });
  await coverLeaves(licensing.owner, { origin: ORIGIN });
  const options = { clock, origin: ORIGIN, publicUrl: 'https://p.example' };
  await drainLicences(licensing.worker, tenant.tenantId, options);
  await licensing.owner.query('DELETE FROM batch_wakes');
  return batchId;
}

/** Carries the request out, and tells whom it woke. */
async function carryOut(id: string) {
  const handle = await licensing.carryOut(id, `-${randomUUID()}`);
  const { rows } = await licensing.owner.query('SELECT batch_id FROM batch_wakes');
  return { handle, woken: rows.map((row) => row.batch_id) };
}

describe('changeOrganisation of shares', () => {
  it('raises a share and wakes the batch that waited for it; a refusal is an outcome', async () => {
    const batchId = await makeWaiters();
    const ask = async (limit: number) => {
      const id = randomUUID();
      const shares = [{ orgUnit: tenant.orgUnitId, limit }];
      const change: OrgChange = { kind: 'SET_SHARES', grantId, shares };
      const request = { id, tenantId: tenant.tenantId, change, requestedBy: 'key:test', at: clock.nowMicros() };
      await requestOrgChange(licensing.api, request);
      return carryOut(id);
    };
    await licensing.temporal.run(licensing.activities(), async () => {
      expect((await ask(0)).woken).toEqual([]);
      expect((await ask(5)).woken).toEqual([batchId]);
    });
  });
});

describe('importLicense of a revocation list', () => {
  it('wakes who waited for a grant that the list gives back', async () => {
    const { owner } = licensing;
    await owner.query('UPDATE licence_grants SET listed_at = not_before');
    await owner.query('UPDATE licence_shares SET quota = 10');
    await owner.query('UPDATE licence_allocations SET quota = 10');
    const batchId = await makeWaiters();
    const at = clock.nowMicros();
    const list = {
      type: REVOCATION_LIST_TYPE,
      number: 1,
      instanceFingerprint: instanceFingerprint(TEST_INSTANCE),
      issuedAt: at,
      nextUpdate: '2099-01-01T00:00:00Z',
      revoked: [],
    } as const;
    const jws = await issueRevocationList(list, licensing.issuer.key);
    const request = { id: randomUUID(), jws, dryRun: false, requestedBy: 'key:test', at };
    const id = await requestImport(licensing.api, request);
    await licensing.temporal.run(licensing.activities(), async () => {
      const { handle, woken } = await carryOut(id);
      expect(woken).toEqual([batchId]);
      await keepHistory('importLicense', 'revocation-list', await handle.fetchHistory());
    });
  });
});

describe('a run that was lost after its request was applied and before anybody was served', () => {
  const reconcileNow = async (): Promise<void> => {
    const deps: ReconcileDeps = {
      client: licensing.temporal.client,
      workflowQueue: licensing.temporal.workflowQueue,
      db: licensing.worker,
      clock: { ...clock, nowMs: () => clock.nowMs() + 1_000 },
      logger: createLogger('test', 'silent'),
      origin: ORIGIN,
      reconcileGraceMs: 0,
      schedules: [],
    };
    await createReconciliation(deps)();
  };
  afterAll(() => licensing.temporal.client.workflow.getHandle(workflowIds.runLog(ORIGIN)).terminate());

  /** Runs the reconciler and the workflow that it starts; then once more, which starts nothing. Returns who waits no more. */
  async function recover(workflowId: string): Promise<number> {
    const { owner } = licensing;
    const before = await owner.query('SELECT FROM certificates');
    await licensing.temporal.run(licensing.activities(), async () => {
      await reconcileNow();
      const handle = licensing.temporal.client.workflow.getHandle(workflowId);
      await handle.result();
      const { runId } = await handle.describe();
      await reconcileNow();
      expect((await handle.describe()).runId).toBe(runId);
    });
    return ((await owner.query('SELECT FROM certificates')).rowCount ?? 0) - (before.rowCount ?? 0);
  }

  it('is started again: an import of a grant', async () => {
    const { owner } = licensing;
    const stranger = await seedTenant(owner);
    await seedQueuedProofs(owner, 3, stranger);
    await coverLeaves(owner, { origin: ORIGIN });
    const jws = await licensing.issuer.issue(stranger.tenantId);
    const request = { id: randomUUID(), jws, dryRun: false, requestedBy: 'key:test', at: clock.nowMicros() };
    await requestImport(licensing.api, request);
    const importing = {
      clock,
      issuers: licensing.issuer.keys,
      instanceFingerprint: instanceFingerprint(TEST_INSTANCE),
    };
    const outcome = await importGrant(licensing.worker, request.id, importing);
    expect(outcome).toMatchObject({ state: 'APPLIED' });
    expect(await recover(workflowIds.importLicense(grantHash(jws)))).toBe(3);
  });

  it('is started again: a change of shares', async () => {
    await licensing.owner.query('UPDATE licence_allocations SET quota = used');
    await makeWaiters();
    const id = randomUUID();
    const change: OrgChange = { kind: 'SET_SHARES', grantId, shares: [{ orgUnit: tenant.orgUnitId, limit: 10 }] };
    await requestOrgChange(licensing.api, {
      id,
      tenantId: tenant.tenantId,
      change,
      requestedBy: 'key:test',
      at: clock.nowMicros(),
    });
    const outcome = await applyOrgChange(licensing.worker, id, clock);
    expect(outcome).toMatchObject({ state: 'APPLIED' });
    expect(await recover(workflowIds.changeOrganisation(id))).toBe(2);
  });
});
