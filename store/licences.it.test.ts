import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../domain/clock.ts';
import { type TenantId, workflowIds } from '../domain/ids.ts';
import { type BaseGrant, grantHash } from '../domain/licence/grant.ts';
import { instanceFingerprint } from '../domain/licence/issuers.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { baseGrant, createTestIssuer, TEST_INSTANCE, type TestIssuer } from '../test/support/grants.ts';
import { coverLeaves, seedOrgUnit, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { appendAudit, findAuditBreak } from './audit.ts';
import { drainLicences } from './drain-licences.ts';
import { type ImportRecord, readImportOutcome, requestImport } from './licence-imports.ts';
import { listGrants, readLicenceUsage } from './licences.read.ts';
import { type ImportOutcome, importGrant } from './licences.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { withTenant } from './tenant-scope.ts';

const NOW = '2026-03-15T09:00:00.000000Z';
const clock: Clock = { nowMs: () => Date.parse(NOW), nowMicros: () => NOW };

let test: TestDatabase;
let db: Db;
let api: Db;
let owner: Db;
let issuer: TestIssuer;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  api = test.pool('proofline_api');
  owner = test.pool('proofline_owner');
  issuer = await createTestIssuer();
});
afterAll(() => test.drop());
beforeEach(async () => {
  await owner.query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, events, timeline, audit, licence_unit_usage CASCADE',
  );
  tenant = await seedTenant(owner);
});

interface Ask {
  readonly dryRun?: boolean;
  readonly tenantId?: TenantId;
}

const ask = (jws: string, { dryRun = false, tenantId }: Ask = {}): Promise<string> =>
  requestImport(api, {
    id: randomUUID(),
    jws,
    dryRun,
    requestedBy: 'key:test',
    ...(tenantId && { tenantId }),
    at: NOW,
  });
const run = (id: string): Promise<ImportOutcome> =>
  importGrant(db, id, { clock, issuers: issuer.keys, instanceFingerprint: instanceFingerprint(TEST_INSTANCE) });

/** Asks, carries out what the outbox says, and reads the outcome as the API does. */
async function importFile(jws: string, options: Ask = {}): Promise<ImportRecord> {
  const id = await ask(jws, options);
  if ((await readImportOutcome(api, id))?.state === 'PENDING') await run(id);
  return (await readImportOutcome(api, id)) as ImportRecord;
}

const usage = (tx: Tx) => readLicenceUsage(tx, NOW, { limit: 100 });
const issue = (changes: Partial<BaseGrant> = {}): Promise<string> => issuer.issue(tenant.tenantId, changes);

/** How many rows an import could have left behind. */
async function traces(): Promise<Record<string, number>> {
  const { rows } = await owner.query(
    `SELECT (SELECT count(*) FROM licence_grants)::int AS grants, (SELECT count(*) FROM licence_periods)::int AS periods,
       (SELECT count(*) FROM licence_allocations)::int AS allocations, (SELECT count(*) FROM events)::int AS events, (SELECT count(*) FROM audit)::int AS audit`,
  );
  return rows[0];
}

describe('importing a grant', () => {
  it('opens the periods that have begun, with their shares, and is audited', async () => {
    const unit = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const jws = await issue({
      grantId: 'g1',
      quota: 10,
      term: { type: 'MONTHLY', count: 12, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover: 0 },
      allocations: [{ orgUnit: unit, limit: 4 }],
    });
    const outcome = await importFile(jws);
    expect(outcome).toMatchObject({ state: 'APPLIED', code: null, hash: grantHash(jws), dryRun: false });
    expect(outcome.diff).toMatchObject({
      grantId: 'g1',
      tenant: tenant.tenantId,
      quota: 10,
      periods: [{ n: 0 }, { n: 1 }],
    });
    const { periods } = await withTenant(api, tenant.tenantId, usage);
    const period = { grant: 'g1', quota: 10n, used: 0n, units: [] };
    expect(periods).toEqual([
      {
        ...period,
        n: 1,
        startsAt: '2026-02-27T23:00:00.000000Z',
        endsAt: '2026-03-30T22:00:00.000000Z',
        allocations: [{ orgUnit: unit, quota: '4', used: '0' }],
      },
      {
        ...period,
        n: 0,
        startsAt: '2026-01-30T23:00:00.000000Z',
        endsAt: '2026-02-27T23:00:00.000000Z',
        allocations: [],
      },
    ]);
    expect(await traces()).toEqual({ grants: 1, periods: 2, allocations: 1, events: 1, audit: 1 });
    const { rows } = await owner.query('SELECT actor, tenant_id, action, subject FROM audit');
    expect(rows).toEqual([
      { actor: 'key:test', tenant_id: tenant.tenantId, action: 'licence.imported', subject: 'g1' },
    ]);
    expect(await findAuditBreak(owner)).toBeUndefined();
  });

  it('lets the proofs that waited be served', async () => {
    const { proofIds, batchId } = await seedQueuedProofs(owner, 3, {
      tenantId: tenant.tenantId,
      orgUnitId: tenant.orgUnitId,
    });
    await coverLeaves(owner, { origin: 'o' });
    const drain = () => drainLicences(db, tenant.tenantId, { clock, origin: 'o', publicUrl: 'https://p.example' });
    expect(await drain()).toMatchObject({ waiting: proofIds.length });
    expect(await withTenant(api, tenant.tenantId, usage)).toMatchObject({
      waiting: 3,
      waitingByUnit: [
        {
          orgUnit: tenant.orgUnitId,
          proofs: 3,
          oldestReceivedAt: '2026-01-31T08:00:00.000000Z',
          renewsAt: null,
          cause: 'no-licence',
          exhaustedUnit: null,
          releasedBy: ['GRANT'],
        },
      ],
    });
    await importFile(await issue());
    expect(await drain()).toMatchObject({ drafted: 3, batchesServed: [batchId] });
    expect(await withTenant(api, tenant.tenantId, usage)).toMatchObject({ waiting: 0, waitingByUnit: [] });
  });

  it('changes nothing the second time and says so at once, without a workflow', async () => {
    const jws = await issue();
    await importFile(jws);
    await owner.query('TRUNCATE outbox');
    const before = await traces();
    const again = await importFile(`  ${jws}\n`);
    expect(again).toMatchObject({ state: 'UNCHANGED', detail: 'this file was imported before; nothing changed' });
    expect(await traces()).toEqual(before);
    expect((await owner.query('SELECT FROM outbox')).rowCount).toBe(0);
  });

  it('applies one of two requests for one file that are under way at once', async () => {
    const jws = await issue();
    const requests = [await ask(jws), await ask(jws)];
    const { rows } = await owner.query('SELECT workflow_id, name, payload FROM outbox ORDER BY id');
    expect(rows).toEqual([
      {
        workflow_id: workflowIds.importLicense(grantHash(jws)),
        name: 'importLicense',
        payload: { importId: requests[0] },
      },
      {
        workflow_id: workflowIds.importLicense(grantHash(jws), 2),
        name: 'importLicense',
        payload: { importId: requests[1] },
      },
    ]);
    const outcomes = await Promise.all(requests.map(run));
    expect(outcomes.map((o) => o.state).sort()).toEqual(['APPLIED', 'UNCHANGED']);
    expect(await traces()).toMatchObject({ grants: 1, periods: 1 });
  });

  it('tells a repeated attempt of the same request what came of it', async () => {
    const id = await ask(await issue());
    const first = await run(id);
    expect(await run(id)).toEqual(first);
    expect(first).toEqual({ state: 'APPLIED', tenantId: tenant.tenantId });
    expect(await traces()).toMatchObject({ grants: 1, audit: 1 });
  });

  it('of a second grant follows the first by seq and hash', async () => {
    const first = await issue({ grantId: 'g1' });
    const second = await issue({ grantId: 'g2', seq: 2, previousGrantHash: grantHash(first) });
    expect(await importFile(second)).toMatchObject({
      state: 'REFUSED',
      code: 'GRANT_CHAIN_BROKEN',
      detail: `the grant has seq 2, but seq 1 is missing; it follows the file with hash ${grantHash(first)}`,
    });
    expect(await importFile(first)).toMatchObject({ state: 'APPLIED' });
    // The file that was refused is taken once its predecessor is there, by a workflow of its own.
    expect(await importFile(second)).toMatchObject({ state: 'APPLIED' });
    const { rows } = await owner.query('SELECT DISTINCT workflow_id FROM outbox');
    expect(rows).toHaveLength(3);
    const grants = await withTenant(api, tenant.tenantId, listGrants);
    expect(grants.map((g) => [g.id, g.seq, g.hash])).toEqual([
      ['g1', 1, grantHash(first)],
      ['g2', 2, grantHash(second)],
    ]);
  });

  it.each<[string, string, () => Promise<string>]>([
    ['text that is no grant', 'GRANT_MALFORMED', async () => 'nonsense'],
    [
      'a signature of a stranger',
      'GRANT_SIGNATURE_INVALID',
      async () => (await createTestIssuer()).issue(tenant.tenantId),
    ],
    ['an unknown key', 'GRANT_ISSUER_UNKNOWN', async () => (await createTestIssuer('else')).issue(tenant.tenantId)],
    ['another instance', 'GRANT_WRONG_INSTANCE', () => issue({ instanceFingerprint: instanceFingerprint('else') })],
    ['a tenant of nobody', 'GRANT_TENANT_UNKNOWN', () => issuer.issue(randomUUID() as string as TenantId)],
    [
      'another grant’s id',
      'GRANT_ID_REUSED',
      () => issue({ grantId: 'taken', seq: 2, previousGrantHash: 'a'.repeat(64) }),
    ],
    ['a gap in the chain', 'GRANT_CHAIN_BROKEN', () => issue({ seq: 3, previousGrantHash: 'a'.repeat(64) })],
    ['a place that is taken', 'GRANT_SEQ_TAKEN', () => issue()],
    ['another predecessor', 'GRANT_CHAIN_FORKED', () => issue({ seq: 2, previousGrantHash: 'a'.repeat(64) })],
    ['dates of the past', 'GRANT_DATES_INVALID', async () => issue(await next({ notAfter: '2026-03-15T09:00:00Z' }))],
    [
      'shares of a foreign unit',
      'GRANT_ALLOCATION_INVALID',
      async () => issue(await next({ allocations: [{ orgUnit: (await seedTenant(owner)).orgUnitId, limit: 1 }] })),
    ],
    ['no units', 'GRANT_QUOTA_INVALID', async () => issue(await next({ quota: 0 }))],
    [
      'a reference to nothing',
      'GRANT_REFERENCE_INVALID',
      async () => {
        const { type, tenant: t, instanceFingerprint: f, notBefore, grantId } = baseGrant(tenant.tenantId);
        const { seq = 2, previousGrantHash = '' } = await next({});
        const common = { type, tenant: t, instanceFingerprint: f, notBefore, grantId, seq, previousGrantHash };
        return issuer.sign({ ...common, kind: 'REVOCATION', revokes: 'nothing' });
      },
    ],
  ])('is refused for %s, and leaves nothing but the refusal and its audit', async (_, code, make) => {
    await importFile(await issue({ grantId: 'taken' }));
    const before = await traces();
    expect(await importFile(await make())).toMatchObject({ state: 'REFUSED', code, diff: null });
    expect(await traces()).toEqual({ ...before, audit: 2 });
    const { rows } = await owner.query('SELECT action, detail FROM audit ORDER BY id DESC LIMIT 1');
    expect(rows[0]).toEqual({ action: 'licence.import_refused', detail: { code, dryRun: false } });
    expect(await findAuditBreak(owner)).toBeUndefined();
  });

  it('as a dry run tells what it would change and leaves nothing; the import proper still applies', async () => {
    const jws = await issue({ grantId: 'g1' });
    const before = await traces();
    const dry = await importFile(jws, { dryRun: true });
    expect(dry).toMatchObject({ state: 'UNCHANGED', dryRun: true, diff: { grantId: 'g1', periods: [{ n: 0 }] } });
    expect(await traces()).toEqual(before);
    expect(await importFile(jws)).toMatchObject({ state: 'APPLIED' });
  });

  it('leaves nothing behind when the database fails half-way', async () => {
    const id = await ask(await issue());
    await owner.query("ALTER TABLE audit ADD CONSTRAINT broken CHECK (action <> 'licence.imported')");
    await expect(run(id)).rejects.toThrow('broken');
    await owner.query('ALTER TABLE audit DROP CONSTRAINT broken');
    expect(await traces()).toEqual({ grants: 0, periods: 0, allocations: 0, events: 0, audit: 0 });
    expect(await run(id)).toMatchObject({ state: 'APPLIED' });
  });

  it('by a tenant’s administrator works for that tenant alone and is seen by it alone', async () => {
    const other = await seedTenant(owner);
    const foreign = await issuer.issue(other.tenantId);
    const { id, ...refused } = await importFile(foreign, { tenantId: tenant.tenantId });
    expect(refused).toMatchObject({ state: 'REFUSED', code: 'GRANT_TENANT_UNKNOWN' });
    expect(await readImportOutcome(api, id, other.tenantId)).toBeUndefined();
    expect(await readImportOutcome(api, id, tenant.tenantId)).toMatchObject({ id });
    // Known to the instance, but not to this tenant: refused alike, not told "imported before".
    await importFile(foreign);
    expect(await importFile(foreign, { tenantId: tenant.tenantId })).toMatchObject({ code: 'GRANT_TENANT_UNKNOWN' });
    expect(await withTenant(api, tenant.tenantId, listGrants)).toEqual([]);
  });

  it('is beyond the API’s own rights', async () => {
    for (const sql of ['SELECT jws FROM licence_imports', 'DELETE FROM licence_grants', 'SELECT FROM audit'])
      await expect(api.query(sql)).rejects.toThrow('permission denied');
  });

  it('refuses a file over its limit before it is stored', async () => {
    await expect(ask('A'.repeat(65_537))).rejects.toThrow('GRANT_MALFORMED');
    await expect(ask('Zeile\u0000')).rejects.toThrow('GRANT_MALFORMED');
  });
});

describe('the audit trail', () => {
  it('holds over concurrent writers and names the first row that was changed', async () => {
    const entry = (i: number) => ({
      at: NOW,
      actor: 'test',
      action: 'test.done',
      subject: `${i}`,
      detail: { i, text: 'ü' },
    });
    await Promise.all(Array.from({ length: 20 }, (_, i) => inTransaction(db, (tx) => appendAudit(tx, entry(i)))));
    expect(await findAuditBreak(owner)).toBeUndefined();
    const { rows } = await owner.query('SELECT id FROM audit ORDER BY id OFFSET 7 LIMIT 1');
    await owner.query("UPDATE audit SET detail = '{}' WHERE id = $1", [rows[0].id.toString()]);
    expect(await findAuditBreak(owner)).toBe(rows[0].id);
  });

  it('cannot be rewritten by the workers', async () => {
    await expect(db.query("UPDATE audit SET actor = 'else'")).rejects.toThrow('permission denied');
    await expect(db.query('DELETE FROM audit')).rejects.toThrow('permission denied');
  });
});

/** Changes that make a grant the second of the chain, after the one under the id `taken`. */
async function next(changes: Partial<BaseGrant>): Promise<Partial<BaseGrant>> {
  const { rows } = await owner.query("SELECT encode(hash, 'hex') AS hash FROM licence_grants WHERE id = 'taken'");
  return { seq: 2, previousGrantHash: rows[0].hash, ...changes };
}
