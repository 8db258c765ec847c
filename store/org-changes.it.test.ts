import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../domain/clock.ts';
import type { OrgUnitId } from '../domain/ids.ts';
import type { BaseGrant } from '../domain/licence/grant.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { baseGrant } from '../test/support/grants.ts';
import { coverLeaves, seedOrgUnit, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { checkLicenceCounters } from './check-licence-counters.ts';
import { drainLicences } from './drain-licences.ts';
import { insertGrant } from './licences.ts';
import { applyOrgChange, type OrgChange, requestOrgChange } from './org-changes.ts';
import { type Db, inTransaction } from './pool.ts';

const NOW = '2026-03-15T09:00:00.000000Z';
const clock: Clock = { nowMs: () => Date.parse(NOW), nowMicros: () => NOW };
let test: TestDatabase;
let db: Db;
let owner: Db;
let tenant: SeededTenant;
let left: OrgUnitId;
let right: OrgUnitId;
let leaf: OrgUnitId;

beforeAll(async () => {
  test = await createTestDatabase();
  [db, owner] = [test.pool('proofline_worker'), test.pool('proofline_owner')];
});
afterAll(() => test.drop());
beforeEach(async () => {
  await owner.query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, events, timeline, audit, licence_unit_usage, licence_queue, licence_consumptions, certificates CASCADE',
  );
  tenant = await seedTenant(owner);
  left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
  right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
  leaf = await seedOrgUnit(owner, tenant.tenantId, left);
});

async function grant(quota: number, limits: readonly [OrgUnitId, number][], of: SeededTenant = tenant): Promise<void> {
  const allocations = limits.map(([orgUnit, limit]) => ({ orgUnit, limit }));
  const granted: BaseGrant = { ...baseGrant(of.tenantId), grantId: `g-${of.tenantId}`, quota, allocations };
  const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: NOW };
  await inTransaction(db, (tx) => insertGrant(tx, granted, file));
}

async function ask(change: OrgChange): Promise<string> {
  const id = randomUUID();
  const api = test.pool('proofline_api');
  await requestOrgChange(api, { id, tenantId: tenant.tenantId, change, requestedBy: 'key:test', at: NOW });
  return id;
}
const apply = async (change: OrgChange) => applyOrgChange(db, await ask(change), clock);
const set = (...limits: [OrgUnitId, number | null][]): OrgChange => ({
  kind: 'SET_SHARES',
  grantId: `g-${tenant.tenantId}`,
  shares: limits.map(([orgUnit, limit]) => ({ orgUnit, limit })),
});
const move = (unit: OrgUnitId, parent: OrgUnitId): OrgChange => ({ kind: 'MOVE_UNIT', unit, parent });
const drain = () => drainLicences(db, tenant.tenantId, { clock, origin: 'o', publicUrl: 'https://p.example' });
async function queue(count: number, orgUnitId: OrgUnitId): Promise<void> {
  await seedQueuedProofs(owner, count, { tenantId: tenant.tenantId, orgUnitId });
  await coverLeaves(owner, { origin: 'o' });
}
async function shares(): Promise<Record<string, [bigint, bigint]>> {
  const { rows } = await owner.query('SELECT org_unit_id AS unit, quota, used FROM licence_allocations');
  return Object.fromEntries(rows.map((row) => [row.unit, [row.quota, row.used]]));
}

describe('shares', () => {
  it('shrink to what is used and no further, and grow into what that frees', async () => {
    await grant(10, [[left, 8]]);
    await queue(5, leaf);
    await drain();
    expect(await apply(set([left, 4]))).toMatchObject({ state: 'REFUSED', code: 'ALLOCATION_BELOW_USE' });
    expect(await apply(set([left, 5], [right, 5]))).toMatchObject({ state: 'APPLIED' });
    expect(await shares()).toEqual({ [left]: [5n, 5n], [right]: [5n, 0n] });
    expect(await apply(set([right, 6]))).toMatchObject({ code: 'ALLOCATION_INVALID' });
  });

  it('given to a unit that had none count what it used already, and taken away leave nothing behind', async () => {
    await grant(10, []);
    await queue(3, leaf);
    await drain();
    await apply(set([left, 6], [leaf, 4]));
    expect(await shares()).toEqual({ [left]: [6n, 3n], [leaf]: [4n, 3n] });
    await apply(set([left, null]));
    expect(await shares()).toEqual({ [leaf]: [4n, 3n] });
    expect(await checkLicenceCounters(db, NOW)).toEqual([]);
  });

  it('raised let who waited be served, while a sibling that is used up blocks nobody', async () => {
    await grant(10, [
      [left, 1],
      [right, 1],
    ]);
    await queue(3, left);
    await queue(3, right);
    expect(await drain()).toMatchObject({ drafted: 2, waiting: 4 });
    await apply(set([right, 3]));
    expect(await drain()).toMatchObject({ drafted: 2 });
  });

  it('a change is applied once and its repeat tells the outcome', async () => {
    await grant(10, []);
    const id = await ask(set([left, 3]));
    const outcomes = await Promise.all([applyOrgChange(db, id, clock), applyOrgChange(db, id, clock)]);
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect((await owner.query('SELECT FROM audit')).rowCount).toBe(1);
  });
});

describe('moving a unit', () => {
  it('takes what it used of the running period along, if there is room', async () => {
    await grant(20, [
      [left, 8],
      [right, 6],
      [leaf, 5],
    ]);
    await queue(5, leaf);
    await queue(2, right);
    await drain();
    expect(await apply(move(leaf, right))).toMatchObject({ state: 'REFUSED', code: 'ALLOCATION_BELOW_USE' });
    await apply(set([right, 7]));
    expect(await apply(move(leaf, right))).toMatchObject({ state: 'APPLIED' });
    expect(await shares()).toEqual({ [left]: [8n, 0n], [right]: [7n, 7n], [leaf]: [5n, 5n] });
    const { rows } = await owner.query('SELECT path, depth, parent_id FROM org_units WHERE id = $1', [leaf]);
    expect(rows[0]).toEqual({ path: [tenant.orgUnitId, right, leaf], depth: 2, parent_id: right });
    expect(await checkLicenceCounters(db, NOW)).toEqual([]);
  });

  it.each<[string, () => OrgChange]>([
    ['below itself', () => move(left, leaf)],
    ['below a unit of nobody', () => move(left, randomUUID() as string as OrgUnitId)],
  ])('%s is refused', async (_, change) => {
    expect(await apply(change())).toMatchObject({ state: 'REFUSED', code: 'ORG_TREE_INVALID' });
  });

  it('is refused where the shares would exceed their new parent', async () => {
    await grant(20, [
      [left, 8],
      [leaf, 8],
      [right, 3],
    ]);
    expect(await apply(move(leaf, right))).toMatchObject({ code: 'ALLOCATION_INVALID' });
  });
});

describe('counters', () => {
  it('stay exact at every node while callers are killed, units move and shares change', async () => {
    const units = [tenant.orgUnitId, left, right, leaf];
    await grant(90, [
      [left, 40],
      [right, 40],
      [leaf, 15],
    ]);
    for (const unit of units) await queue(60, unit);
    let isOver = false;
    let step = Promise.withResolvers<void>();
    const goOn = (): void => {
      step.resolve();
      step = Promise.withResolvers<void>();
    };
    // One backend after each transaction that was committed: the others are waiting for their locks then.
    const killing = (async () => {
      for (let i = 0; !isOver; i++) {
        await step.promise;
        await db
          .query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
               AND state <> 'idle' ORDER BY (pid * $1::bigint) % 101 LIMIT 1`,
            [i + 7],
          )
          .catch(() => undefined);
      }
    })();
    let killed = 0;
    const untilDone = async (work: () => Promise<unknown>): Promise<void> => {
      for (;;) {
        try {
          await work();
          goOn();
          return;
        } catch {
          killed++;
        }
      }
    };
    const drains = Array.from({ length: 24 }, () =>
      untilDone(() =>
        drainLicences(db, tenant.tenantId, {
          clock,
          origin: 'o',
          publicUrl: 'https://p.example',
          limit: 7,
          onStep: goOn,
        }),
      ),
    );
    const changes = [
      move(leaf, right),
      set([leaf, 12]),
      move(leaf, left),
      set([left, 45], [right, 35]),
      set([leaf, null]),
    ];
    const asked = await Promise.all(changes.map(ask));
    await Promise.all([...drains, ...asked.map((id) => untilDone(() => applyOrgChange(db, id, clock)))]);
    isOver = true;
    goOn();
    await killing;
    while ((await drain()).drafted > 0);
    expect(killed).toBeGreaterThan(0);
    expect(await checkLicenceCounters(db, NOW)).toEqual([]);
    const { rows } = await owner.query(
      'SELECT used, (SELECT count(*) FROM certificates) AS drafted FROM licence_periods',
    );
    expect(rows).toEqual([{ used: 90n, drafted: 90n }]);
    for (const [quota, used] of Object.values(await shares())) expect(used <= quota).toBe(true);
    const { rows: odd } = await owner.query(
      "SELECT state FROM org_changes WHERE state = 'PENDING' UNION ALL SELECT 'twice' FROM audit GROUP BY subject HAVING count(*) > 1",
    );
    expect(odd).toEqual([]);
  }, 120_000);

  it('of two tenants, changed and drained in opposite order, never block each other', async () => {
    const other = await seedTenant(owner);
    await grant(50, []);
    await grant(50, [], other);
    for (const { tenantId, orgUnitId } of [tenant, other]) await seedQueuedProofs(owner, 40, { tenantId, orgUnitId });
    await coverLeaves(owner, { origin: 'o' });
    const drainOf = (of: SeededTenant) =>
      drainLicences(db, of.tenantId, { clock, origin: 'o', publicUrl: 'https://p.example', limit: 5 });
    const lanes = Array.from({ length: 8 }, async (_, i) => {
      for (const seeded of i % 2 === 0 ? [tenant, other] : [other, tenant]) await drainOf(seeded);
    });
    await Promise.all([...lanes, apply(set([left, 10])), apply(set([left, 20], [right, 10]))]);
    expect(await checkLicenceCounters(db, NOW)).toEqual([]);
    const { rows } = await owner.query('SELECT sum(used)::int AS used FROM licence_periods');
    expect(rows).toEqual([{ used: 80 }]);
  });

  it('that do not equal their rows are found', async () => {
    await grant(10, [[left, 5]]);
    await queue(2, left);
    await drain();
    await owner.query('UPDATE licence_periods SET used = used + 1');
    await owner.query('UPDATE licence_allocations SET used = used - 1');
    await owner.query('UPDATE licence_unit_usage SET used = used + 3');
    const faults = await checkLicenceCounters(db, NOW);
    expect(faults.map((f) => [f.counter, f.orgUnit, f.used, f.rows])).toEqual([
      ['period', null, 3n, 2n],
      ['share', left, 1n, 2n],
      ['unit', left, 5n, 2n],
    ]);
  });
});
