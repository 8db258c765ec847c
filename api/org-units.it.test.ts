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
import { until } from '../test/support/until.ts';
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

  it('is read page by page, each unit once, however many there are', async () => {
    const own = await seedTenant(worker());
    await server.database.pool('proofline_owner').query(
      `INSERT INTO org_units (id, tenant_id, parent_id, depth, path, name, created_at)
       SELECT u, $1, $2, 1, ARRAY[$2::uuid, u], 'Unit ' || n % 7, now() FROM (SELECT gen_random_uuid() AS u, n FROM generate_series(1, 1000) n) x`,
      [own.tenantId, own.orgUnitId],
    );
    const read = clientOf(server.url, own.apiKey);
    const units: { id: string; depth: number; name: string }[] = [];
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages++) {
      const at: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { status, body } = await read('GET', `/v1/admin/org-units?limit=400${at}`);
      expect(status).toBe(200);
      units.push(...body.data);
      cursor = body.next;
    }
    expect([pages, units.length, new Set(units.map(({ id }) => id)).size]).toEqual([3, 1001, 1001]);
    const keys = units.map(({ depth, name, id }) => `${depth} ${name} ${id}`);
    expect(keys).toEqual([...keys].sort());
    const { body } = await read('GET', '/v1/admin/org-units');
    expect([body.data.length, typeof body.next]).toEqual([100, 'string']);
    expect((await read('GET', '/v1/admin/org-units?cursor=MSB4')).body.code).toBe('CURSOR_MALFORMED');
  });

  it('finds the unit to move, wherever it stands in the list, and no unit of another tenant', async () => {
    const own = await seedTenant(worker());
    const unit = 'ffffffff-ffff-4fff-bfff-ffffffffffff';
    await server.database.pool('proofline_owner').query(
      `INSERT INTO org_units (id, tenant_id, parent_id, depth, path, name, created_at)
       SELECT u, $1::uuid, $2::uuid, 1, ARRAY[$2::uuid, u], 'Unit', now() FROM (SELECT gen_random_uuid() AS u FROM generate_series(1, 10001)) x
       UNION ALL SELECT $3::uuid, $1::uuid, $2::uuid, 1, ARRAY[$2::uuid, $3::uuid], 'Z', now()`,
      [own.tenantId, own.orgUnitId, unit],
    );
    const parent = await seedOrgUnit(worker(), own.tenantId, own.orgUnitId);
    const moved = await change(`/v1/admin/org-units/${unit}/move`, { parent }, clientOf(server.url, own.apiKey));
    expect([moved.status, moved.body.state]).toEqual([200, 'APPLIED']);
    const foreign = await call('POST', `/v1/admin/org-units/${unit}/move`, { parent: left });
    expect([foreign.status, foreign.body.code]).toEqual([404, 'NOT_FOUND']);
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
    const changed = await change(path, body, operator);
    expect(changed.status).toBe(200);
    const again = await operator('GET', changed.headers.get('location') ?? '');
    expect([again.status, again.body.state]).toEqual([200, 'APPLIED']);
    const audited = 'SELECT action, tenant_id FROM audit WHERE tenant_id = $1 OR tenant_id IS NULL ORDER BY id';
    const { rows } = await worker().query(audited, [tenant.tenantId]);
    expect(new Set(rows.map((row) => row.action))).toEqual(
      new Set(['org.unit_created', 'org.unit_moved', 'licence.shares_set', 'org.change_refused']),
    );
    expect(rows.every((row) => row.tenant_id === tenant.tenantId)).toBe(true);
    expect(await findAuditBreak(worker())).toBeUndefined();
  });
});

describe('the use of a tenant', () => {
  it('is read period by period, newest first, page by page', async () => {
    const own = await seedTenant(worker());
    const term = { type: 'MONTHLY', count: 36, anchorDate: '2026-01-01', timeZone: 'UTC', rollover: 0 } as const;
    const file = { hash: '', jws: '', by: 'test', now: '2026-06-15T00:00:00.000000Z' };
    for (const seq of [1, 2]) {
      const grant = { ...baseGrant(own.tenantId), grantId: `paged-${seq}`, seq, term };
      await inTransaction(worker(), (tx) => insertGrant(tx, grant, { ...file, hash: `${seq}`.repeat(64) }));
    }
    const read = clientOf(server.url, own.apiKey);
    const whole = (await read('GET', '/v1/admin/licenses/usage')).body;
    expect([whole.periods.length, whole.next]).toEqual([12, null]);
    const periods: unknown[] = [];
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages++) {
      const at: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await read('GET', `/v1/admin/licenses/usage?limit=5${at}`);
      periods.push(...body.periods);
      cursor = body.next;
    }
    expect(pages).toBe(3);
    expect(periods).toEqual(whole.periods);
    const starts = whole.periods.map(({ startsAt }: { startsAt: string }) => startsAt);
    expect(starts).toEqual([...starts].sort().reverse());
  });
});

describe('a client that leaves', () => {
  const waiting = async (): Promise<number> => (await server.metrics.waiters.get()).values[0]?.value ?? 0;

  it.each<[string, string, string, () => Promise<string>, unknown]>([
    ['a change', '/v1/admin/org-units', 'application/json', async () => tenant.apiKey, { name: 'Nobody waits' }],
    ['an import', '/v1/admin/licenses', 'application/jose', () => seedOperatorKey(worker()), 'e30.bm90aGluZw.bA'],
  ])('ends the wait for %s', async (_, path, type, key, body) => {
    const client = new AbortController();
    const text = typeof body === 'string' ? body : JSON.stringify({ ...(body as object), parent: left });
    const begun = performance.now();
    const answer = fetch(`${server.url}${path}`, {
      method: 'POST',
      body: text,
      headers: { authorization: `Bearer ${await key()}`, 'content-type': type },
      signal: client.signal,
    });
    answer.catch(() => undefined);
    await until(waiting, (count) => count === 1);
    client.abort();
    await until(waiting, (count) => count === 0);
    expect(performance.now() - begun).toBeLessThan(5_000);
    await expect(answer).rejects.toThrow('aborted');
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
    // Our clock says so; somebody who is trusted has seen a later time.
    await worker().query("UPDATE licence_clock SET trusted_at = '2099-06-01T00:00:00Z'");
    expect((await operator('GET', '/v1/admin/licenses/revocation-list')).body.state).toBe('BLOCKING');
    expect((await call('GET', '/v1/admin/licenses/usage')).body.revocationList.state).toBe('BLOCKING');
    await worker().query('UPDATE licence_clock SET trusted_at = NULL');
  });
});
