import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../domain/clock.ts';
import type { OrgUnitId } from '../domain/ids.ts';
import { findAuditBreak } from '../store/audit.ts';
import { insertGrant } from '../store/licences.ts';
import { applyOrgChange } from '../store/org-changes.ts';
import { inTransaction } from '../store/pool.ts';
import { baseGrant } from '../test/support/grants.ts';
import { seedOrgUnit } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedOperatorKey, seedTenant } from '../test/support/seed.ts';
import { type Answer, type Call, clientOf } from './test-client.ts';
import { startTestServer, type TestServer } from './test-server.ts';

const clock = systemClock();
let server: TestServer;
let tenant: SeededTenant;
let left: OrgUnitId;
let right: OrgUnitId;
let call: Call;

beforeAll(async () => {
  server = await startTestServer();
  tenant = await seedTenant(worker());
  left = await seedOrgUnit(worker(), tenant.tenantId, tenant.orgUnitId);
  right = await seedOrgUnit(worker(), tenant.tenantId, tenant.orgUnitId);
  call = clientOf(server.url, tenant.apiKey);
  const grant = {
    ...baseGrant(tenant.tenantId),
    grantId: 'g1',
    quota: 100,
    allocations: [{ orgUnit: left, limit: 60 }],
  };
  const file = { hash: 'a'.repeat(64), jws: '', by: 'test', now: clock.nowMicros() };
  await inTransaction(worker(), (tx) => insertGrant(tx, grant, file));
});
afterAll(() => server.stop());

const worker = () => server.database.pool('proofline_worker');

/** Sends a change and applies it as its workflow would. */
async function change(path: string, body: unknown, send: Call = call): Promise<Answer> {
  const answer = send('POST', path, body, { 'content-type': 'application/json' });
  let isAnswered = false;
  void answer.finally(() => {
    isAnswered = true;
  });
  while (!isAnswered) {
    const { rows } = await worker().query("SELECT id FROM org_changes WHERE state = 'PENDING'");
    for (const { id } of rows) await applyOrgChange(worker(), id, clock);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return answer;
}

describe('the org tree', () => {
  it('gains a unit, moves it, and shows the tree', async () => {
    const made = await change('/v1/admin/org-units', { name: 'Leaf', parent: left });
    expect([made.status, made.body.state]).toEqual([200, 'APPLIED']);
    const unit = made.body.orgUnit;
    const moved = await change(`/v1/admin/org-units/${unit}/move`, { parent: right });
    expect([moved.status, moved.body.kind]).toEqual([200, 'MOVE_UNIT']);
    const { body } = await call('GET', '/v1/admin/org-units');
    expect(body.data.find(({ id }: { id: string }) => id === unit)).toMatchObject({
      parent: right,
      depth: 2,
      name: 'Leaf',
    });
    const again = await call('GET', moved.headers.get('location') ?? '');
    expect([again.status, again.body.state]).toEqual([200, 'APPLIED']);
  });

  it('refuses a move below itself and says so', async () => {
    const { status, body } = await change(`/v1/admin/org-units/${tenant.orgUnitId}/move`, { parent: left });
    expect([status, body.code]).toEqual([409, 'ORG_TREE_INVALID']);
  });
});

describe('shares', () => {
  it('are set, shrunk and moved at once, and read back', async () => {
    const allocations = [
      { orgUnit: left, limit: 40 },
      { orgUnit: right, limit: 60 },
    ];
    expect((await change('/v1/admin/licenses/allocations', { grant: 'g1', allocations })).status).toBe(200);
    const { body } = await call('GET', '/v1/admin/licenses/allocations');
    expect(body.data).toEqual([{ grant: 'g1', quota: '100', endsAt: null, allocations: expect.any(Array) }]);
    expect(new Set(body.data[0].allocations)).toEqual(
      new Set([
        { orgUnit: left, limit: '40', used: '0' },
        { orgUnit: right, limit: '60', used: '0' },
      ]),
    );
  });

  it.each([
    ['exceed the quota', { grant: 'g1', allocations: [{ limit: 70 }] }, 409, 'ALLOCATION_INVALID'],
    ['are of no grant', { grant: 'nothing', allocations: [{ limit: 1 }] }, 409, 'ALLOCATION_INVALID'],
    ['are below zero', { grant: 'g1', allocations: [{ limit: -1 }] }, 400, 'REQUEST_INVALID'],
  ])('that %s are refused', async (_, { grant, allocations }, status, code) => {
    const named = allocations.map(({ limit }) => ({ orgUnit: left, limit }));
    const answer = await change('/v1/admin/licenses/allocations', { grant, allocations: named });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it('are changed by an operator who names the tenant, and every change is audited', async () => {
    const operator = clientOf(server.url, await seedOperatorKey(worker()));
    const body = { grant: 'g1', allocations: [{ orgUnit: right, limit: null }] };
    expect((await change('/v1/admin/licenses/allocations', body, operator)).status).toBe(400);
    const path = `/v1/admin/licenses/allocations?tenant_id=${tenant.tenantId}`;
    expect((await change(path, body, operator)).status).toBe(200);
    const { rows } = await worker().query('SELECT action, tenant_id FROM audit ORDER BY id');
    expect(new Set(rows.map((row) => row.action))).toEqual(
      new Set(['org.unit_created', 'org.unit_moved', 'licence.shares_set', 'org.change_refused']),
    );
    expect(rows.every((row) => row.tenant_id === tenant.tenantId)).toBe(true);
    expect(await findAuditBreak(worker())).toBeUndefined();
  });
});

describe('the revocation list', () => {
  it('is for platform administrators alone, and not there before one was imported', async () => {
    expect((await call('GET', '/v1/admin/licenses/revocation-list')).status).toBe(403);
    const operator = clientOf(server.url, await seedOperatorKey(worker()));
    expect((await operator('GET', '/v1/admin/licenses/revocation-list')).status).toBe(404);
    const list = ['2026-01-01', '2099-01-01'];
    await server.database.pool('proofline_owner').query(
      `INSERT INTO licence_revocation_lists (number, hash, jws, payload, issued_at, next_update, imported_by, imported_at)
       VALUES (4, sha256('x'), '', '{"revoked":[]}', $1, $2, 'test', $1)`,
      list,
    );
    const { status, body } = await operator('GET', '/v1/admin/licenses/revocation-list');
    expect([status, body]).toMatchObject([200, { number: 4, state: 'FRESH' }]);
    const usage = await call('GET', '/v1/admin/licenses/usage');
    expect(usage.body.revocationList).toMatchObject({ number: 4, state: 'FRESH' });
  });
});
