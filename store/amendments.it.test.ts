import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../domain/clock.ts';
import type { OrgUnitId } from '../domain/ids.ts';
import { type BaseGrant, type Grant, grantHash } from '../domain/licence/grant.ts';
import { instanceFingerprint, issueRevocationList } from '../domain/licence/issuers.ts';
import { REVOCATION_LIST_TYPE, type RevocationList } from '../domain/licence/revocation-list.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { baseGrant, createTestIssuer, TEST_INSTANCE, type TestIssuer } from '../test/support/grants.ts';
import { coverLeaves, seedOrgUnit, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { checkLicenceCounters } from './check-licence-counters.ts';
import { drainLicences } from './drain-licences.ts';
import { type ImportRecord, readImportOutcome, requestImport } from './licence-imports.ts';
import { readLicenceUsage } from './licences.read.ts';
import { importGrant } from './licences.ts';
import type { Db } from './pool.ts';
import { withTenant } from './tenant-scope.ts';

const START = '2026-03-15T09:00:00.000000Z';
let now = START;
const clock: Clock = { nowMs: () => Date.parse(now), nowMicros: () => now };
const FINGERPRINT = instanceFingerprint(TEST_INSTANCE);

let test: TestDatabase;
let db: Db;
let api: Db;
let owner: Db;
let issuer: TestIssuer;
let tenant: SeededTenant;
let left: OrgUnitId;
let right: OrgUnitId;
let chain: { seq: number; hash: string | undefined };

beforeAll(async () => {
  test = await createTestDatabase();
  [db, api, owner] = [test.pool('proofline_worker'), test.pool('proofline_api'), test.pool('proofline_owner')];
  issuer = await createTestIssuer();
});
afterAll(() => test.drop());
beforeEach(async () => {
  now = START;
  await owner.query(
    `TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, events, timeline, audit, licence_unit_usage, licence_queue, licence_consumptions,
       certificates, licence_revocation_lists CASCADE`,
  );
  tenant = await seedTenant(owner);
  left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
  right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
  chain = { seq: 0, hash: undefined };
});

async function importText(jws: string, dryRun = false): Promise<ImportRecord> {
  const id = await requestImport(api, { id: randomUUID(), jws, dryRun, requestedBy: 'key:test', at: now });
  if ((await readImportOutcome(api, id))?.state === 'PENDING')
    await importGrant(db, id, { clock, issuers: issuer.keys, instanceFingerprint: FINGERPRINT });
  return (await readImportOutcome(api, id)) as ImportRecord;
}

type Own<G extends Grant> = G extends Grant ? Omit<G, keyof ReturnType<typeof common>> : never;

function common() {
  const { type, tenant: of, instanceFingerprint: print, notBefore, grantId } = baseGrant(tenant.tenantId);
  const previous = chain.hash === undefined ? {} : { previousGrantHash: chain.hash };
  return { type, tenant: of, instanceFingerprint: print, notBefore, grantId, seq: chain.seq + 1, ...previous };
}

/** Issues and imports the next grant of the chain. */
async function next(own: Own<Grant>, changes: Partial<BaseGrant> = {}, dryRun = false): Promise<ImportRecord> {
  const jws = await issuer.sign({ ...common(), ...own, ...changes } as Grant);
  const outcome = await importText(jws, dryRun);
  if (outcome.state === 'APPLIED') chain = { seq: chain.seq + 1, hash: grantHash(jws) };
  return outcome;
}

const MONTHLY = { type: 'MONTHLY', count: 12, anchorDate: '2026-03-01', timeZone: 'UTC', rollover: 0 } as const;
const rights = { allocations: [], entitlements: [] };
const base = (quota: number, changes: Partial<BaseGrant> = {}) =>
  next({ kind: 'BASE', quota, term: MONTHLY, ...rights }, { grantId: 'base', ...changes });
const addendum = (quota: number, changes: Partial<BaseGrant> = {}) =>
  next({ kind: 'ADDENDUM', addendumOf: 'base', quota, ...rights }, changes);
const revocation = (revokes: string, changes: Partial<BaseGrant> = {}) =>
  next({ kind: 'REVOCATION', revokes }, changes);

const drain = () => drainLicences(db, tenant.tenantId, { clock, origin: 'o', publicUrl: 'https://p.example' });
async function queue(count: number, orgUnitId: OrgUnitId = tenant.orgUnitId): Promise<void> {
  await seedQueuedProofs(owner, count, { tenantId: tenant.tenantId, orgUnitId });
  await coverLeaves(owner, { origin: 'o' });
}
const usage = () => withTenant(api, tenant.tenantId, (tx) => readLicenceUsage(tx, now, { limit: 100 }));
const quotas = async (): Promise<unknown[]> => (await usage()).periods.map((p) => [p.n, p.quota, p.used]).reverse();

describe('an addendum', () => {
  it('adds its units and shares to the running period and the later ones, and lets who waited be served', async () => {
    await base(2, { allocations: [{ orgUnit: left, limit: 1 }] });
    await queue(5);
    expect(await drain()).toMatchObject({ drafted: 2, waiting: 3 });
    const outcome = await addendum(10, { allocations: [{ orgUnit: left, limit: 4 }] });
    expect(outcome).toMatchObject({
      state: 'APPLIED',
      diff: { target: 'base', before: { units: 2 }, after: { units: 12, allocations: [{ orgUnit: left, limit: 5 }] } },
    });
    expect(await drain()).toMatchObject({ drafted: 3 });
    now = '2026-04-01T00:00:00.000000Z';
    await queue(1, left);
    await drain();
    expect(await quotas()).toEqual([
      [0, 12n, 5n],
      [1, 12n, 1n],
    ]);
    expect((await usage()).periods[0]?.allocations).toEqual([{ orgUnit: left, quota: '5', used: '1' }]);
    expect(await checkLicenceCounters(db, now)).toEqual([]);
  });

  it('of later date takes effect then, whenever that is noticed, and leaves earlier periods alone', async () => {
    await base(2);
    await addendum(10, { notBefore: '2026-05-10T00:00:00Z' });
    expect(await quotas()).toEqual([[0, 2n, 0n]]);
    now = '2026-07-01T00:00:00.000000Z';
    await queue(1);
    await drain();
    expect(await quotas()).toEqual([
      [0, 2n, 0n],
      [1, 2n, 0n],
      [2, 12n, 0n],
      [3, 12n, 0n],
      [4, 12n, 1n],
    ]);
  });

  it('as a dry run tells what it would change and leaves nothing', async () => {
    await base(2);
    const dry = await next({ kind: 'ADDENDUM', addendumOf: 'base', quota: 3, ...rights }, {}, true);
    expect(dry).toMatchObject({ state: 'UNCHANGED', diff: { before: { units: 2 }, after: { units: 5 } } });
    expect(await quotas()).toEqual([[0, 2n, 0n]]);
  });
});

describe('a revocation', () => {
  it('stops consumption, and undone lets who waited be served', async () => {
    await base(5);
    await queue(2);
    expect(await revocation('base', { grantId: 'r1' })).toMatchObject({ diff: { effect: 'revoked' } });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 2 });
    expect((await usage()).waitingByUnit).toMatchObject([
      { cause: 'no-licence', releasedBy: ['GRANT', 'REVOCATION_UNDONE'] },
    ]);
    expect(await addendum(1)).toMatchObject({ code: 'GRANT_REFERENCE_INVALID' });
    expect(await revocation('base')).toMatchObject({ code: 'GRANT_REFERENCE_INVALID' });
    expect(await revocation('r1', { grantId: 'r2' })).toMatchObject({ diff: { effect: 'restored' } });
    expect(await drain()).toMatchObject({ drafted: 2 });
    expect(await revocation('r2')).toMatchObject({ code: 'GRANT_REFERENCE_INVALID' });
    expect(await revocation('base')).toMatchObject({ state: 'APPLIED' });
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 0 });
  });

  it('of later date leaves the grant until then; undone before, it never takes effect', async () => {
    await base(5);
    await revocation('base', { grantId: 'r1', notBefore: '2026-03-20T00:00:00Z' });
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 1 });
    now = '2026-03-20T00:00:00.000000Z';
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    await revocation('r1', { grantId: 'r2' });
    expect(await drain()).toMatchObject({ drafted: 1 });
    await revocation('base', { grantId: 'r3', notBefore: '2026-03-25T00:00:00Z' });
    await revocation('r3', { grantId: 'r4' });
    now = '2026-03-26T00:00:00.000000Z';
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 1 });
  });
});

describe('a transfer', () => {
  it('moves limits, never use', async () => {
    await base(10, { allocations: [{ orgUnit: left, limit: 6 }] });
    await queue(4, left);
    await queue(3, right);
    await drain();
    const to = (...limits: [OrgUnitId, number][]) =>
      next({
        kind: 'TRANSFER',
        addendumOf: 'base',
        allocations: limits.map(([orgUnit, limit]) => ({ orgUnit, limit })),
      });
    expect(await to([left, 3], [right, 7])).toMatchObject({ code: 'GRANT_ALLOCATION_BELOW_USE' });
    expect(await to([left, 4], [right, 6])).toMatchObject({ state: 'APPLIED' });
    expect(new Set((await usage()).periods[0]?.allocations)).toEqual(
      new Set([
        { orgUnit: left, quota: '4', used: '4' },
        { orgUnit: right, quota: '6', used: '3' },
      ]),
    );
    await queue(5, left);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 5 });
    expect((await usage()).waitingByUnit).toMatchObject([{ cause: 'share-exhausted', exhaustedUnit: left }]);
    expect(await checkLicenceCounters(db, now)).toEqual([]);
  });

  it('stays within the tenant whose chain it is in', async () => {
    await base(10);
    const other = await seedTenant(owner);
    const foreign: Own<Grant> = {
      kind: 'TRANSFER',
      addendumOf: 'base',
      allocations: [{ orgUnit: other.orgUnitId, limit: 1 }],
    };
    expect(await next(foreign)).toMatchObject({ code: 'GRANT_ALLOCATION_INVALID' });
    chain = { seq: 0, hash: undefined };
    expect(await next(foreign, { tenant: other.tenantId })).toMatchObject({ code: 'GRANT_REFERENCE_INVALID' });
  });
});

describe('a grant that moves to another tenant', () => {
  it('is revoked here, and what is left is granted there: nobody uses a unit twice', async () => {
    await base(10);
    await queue(4);
    await drain();
    await revocation('base');
    const [period] = (await usage()).periods;
    const left = Number(period?.quota) - Number(period?.used);
    await queue(3);
    const other = await seedTenant(owner);
    chain = { seq: 0, hash: undefined };
    const there = { tenant: other.tenantId, grantId: 'moved' };
    expect(await next({ kind: 'BASE', quota: left, term: MONTHLY, ...rights }, there)).toMatchObject({
      state: 'APPLIED',
    });
    await seedQueuedProofs(owner, 8, other);
    await coverLeaves(owner, { origin: 'o' });
    const options = { clock, origin: 'o', publicUrl: 'https://p.example' };
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 3 });
    expect(await drainLicences(db, other.tenantId, options)).toMatchObject({ drafted: 6, waiting: 2 });
    expect(await checkLicenceCounters(db, now)).toEqual([]);
  });
});

describe('a revocation list', () => {
  const list = (changes: Partial<RevocationList>): Promise<string> =>
    issueRevocationList(
      {
        type: REVOCATION_LIST_TYPE,
        number: 1,
        instanceFingerprint: FINGERPRINT,
        issuedAt: '2026-03-01T00:00:00Z',
        nextUpdate: '2026-04-01T00:00:00Z',
        revoked: [{ grantId: 'base', from: '2026-03-01T00:00:00Z' }],
        ...changes,
      },
      issuer.key,
    );

  it('stops what it names, also a grant that comes later, and gives back what the next one leaves out', async () => {
    const first = await list({});
    expect(await importText(first)).toMatchObject({ state: 'APPLIED', diff: { number: 1, revoked: [] } });
    expect(await importText(first)).toMatchObject({ state: 'UNCHANGED' });
    await base(5);
    await queue(2);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 2 });
    expect(await importText(await list({ number: 1, revoked: [] }))).toMatchObject({ code: 'GRANT_LIST_OUTDATED' });
    const second = await list({ number: 2, revoked: [] });
    expect(await importText(second, true)).toMatchObject({ state: 'UNCHANGED', diff: { restored: ['base'] } });
    expect(await drain()).toMatchObject({ drafted: 0 });
    expect(await importText(second)).toMatchObject({ state: 'APPLIED', diff: { restored: ['base'] } });
    expect(await drain()).toMatchObject({ drafted: 2 });
    const { rows } = await owner.query("SELECT subject FROM audit WHERE action = 'licence.revocation_list_imported'");
    expect(rows.map((row) => row.subject)).toEqual(['1', '2']);
  });

  it('overdue warns for seven days, then stops consumption until a newer one is there', async () => {
    await importText(await list({ revoked: [] }));
    await base(5);
    now = '2026-04-07T23:59:59.000000Z';
    await queue(1);
    expect((await usage()).revocationList.state).toBe('OVERDUE');
    expect(await drain()).toMatchObject({ drafted: 1 });
    now = '2026-04-08T00:00:00.000000Z';
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    expect(await usage()).toMatchObject({
      revocationList: { state: 'BLOCKING' },
      waitingByUnit: [{ cause: 'revocation-list-overdue', releasedBy: ['REVOCATION_LIST'] }],
    });
    const { rows } = await owner.query("SELECT detail FROM timeline WHERE state = 'AWAITING_LICENSE'");
    expect(rows).toEqual([{ detail: { reason: 'revocation-list-overdue' } }]);
    await importText(await list({ number: 2, revoked: [], nextUpdate: '2026-05-01T00:00:00Z' }));
    expect(await drain()).toMatchObject({ drafted: 1 });
  });

  it('is not a tenant’s to import', async () => {
    const id = await requestImport(api, {
      id: randomUUID(),
      jws: await list({}),
      dryRun: false,
      requestedBy: 'key:test',
      tenantId: tenant.tenantId,
      at: now,
    });
    await importGrant(db, id, { clock, issuers: issuer.keys, instanceFingerprint: FINGERPRINT });
    expect(await readImportOutcome(api, id)).toMatchObject({ code: 'GRANT_KIND_UNSUPPORTED' });
  });
});

describe('a used-up period', () => {
  it('is announced once, in the transaction that used it up', async () => {
    await base(2);
    await queue(2);
    await drain();
    await addendum(1);
    await queue(2);
    await drain();
    const { rows } = await owner.query("SELECT payload FROM events WHERE type = 'license.exhausted'");
    expect(rows).toEqual([
      { payload: { grantId: 'base', period: 0, quota: 2, endsAt: '2026-04-01T00:00:00.000000Z' } },
    ]);
  });
});

describe('a clock that was set back', () => {
  it('unblocks no revocation list that was overdue at a trusted time', async () => {
    await base(5);
    await owner.query(
      `INSERT INTO licence_revocation_lists (number, hash, jws, payload, issued_at, next_update, imported_by, imported_at)
       VALUES (1, sha256('x'), '', '{"revoked":[]}', $1, $1::timestamptz + interval '1 day', 'test', $1)`,
      [now],
    );
    await owner.query("UPDATE licence_clock SET trusted_at = $1::timestamptz + interval '9 days'", [now]);
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    expect(await usage()).toMatchObject({
      revocationList: { state: 'BLOCKING' },
      waitingByUnit: [{ cause: 'revocation-list-overdue' }],
    });
    await owner.query('UPDATE licence_clock SET trusted_at = NULL');
    expect(await drain()).toMatchObject({ drafted: 1 });
    await owner.query('DELETE FROM licence_revocation_lists');
  });

  it('revives no period that ended by a trusted time', async () => {
    await base(5, { term: { ...MONTHLY, count: 1 } });
    await owner.query("UPDATE licence_clock SET trusted_at = '2026-04-02T00:00:00Z'");
    await queue(1);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    await owner.query('UPDATE licence_clock SET trusted_at = NULL');
    expect(await drain()).toMatchObject({ drafted: 1 });
  });
});
