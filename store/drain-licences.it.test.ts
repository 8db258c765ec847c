import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { toBase64Url, toHex } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import { anchorEntryDigest, NO_ANCHOR_WORDS } from '../domain/certificate.ts';
import type { Clock } from '../domain/clock.ts';
import type { BatchId, OrgUnitId, ProofId } from '../domain/ids.ts';
import type { BaseGrant } from '../domain/licence/grant.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { baseGrant } from '../test/support/grants.ts';
import { coverLeaves, type QueuedOptions, seedOrgUnit, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { type DrainOptions, type DrainResult, drainLicences } from './drain-licences.ts';
import { insertGrant } from './licences.ts';
import { type Db, inTransaction } from './pool.ts';

const ORIGIN = 'log.example/licences';
let now = '2026-01-31T09:00:00.000000Z';
const clock: Clock = { nowMs: () => Date.parse(now), nowMicros: () => now };

let test: TestDatabase;
let db: Db;
let owner: Db;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  owner = test.pool('proofline_owner');
});
afterAll(() => test.drop());
beforeEach(async () => {
  now = '2026-01-31T09:00:00.000000Z';
  await owner.query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, anchors, outbox, timeline, events, licence_queue, licence_consumptions, licence_unit_usage, certificates CASCADE',
  );
  tenant = await seedTenant(owner);
});

function drain(of: SeededTenant = tenant, options: Partial<DrainOptions> = {}): Promise<DrainResult> {
  return drainLicences(db, of.tenantId, { clock, origin: ORIGIN, publicUrl: 'https://p.example', ...options });
}

/** A grant as an import leaves it. */
async function grant(of: SeededTenant, changes: Partial<BaseGrant> = {}): Promise<BaseGrant> {
  const { rows } = await owner.query('SELECT count(*)::int + 1 AS seq FROM licence_grants WHERE tenant_id = $1', [
    of.tenantId,
  ]);
  const granted = { ...baseGrant(of.tenantId), ...changes, seq: rows[0].seq };
  const hash = createHash('sha256').update(granted.grantId).digest('hex');
  await inTransaction(db, (tx) => insertGrant(tx, granted, { hash, jws: '', by: 'test', now }));
  return granted;
}

async function queue(
  count: number,
  options: Partial<QueuedOptions> = {},
): Promise<{ batchId: BatchId; proofIds: readonly ProofId[] }> {
  const seeded = await seedQueuedProofs(owner, count, {
    tenantId: tenant.tenantId,
    orgUnitId: tenant.orgUnitId,
    ...options,
  });
  await coverLeaves(owner, { origin: ORIGIN });
  return seeded;
}

async function drafted(): Promise<ProofId[]> {
  const { rows } = await owner.query('SELECT proof_id FROM certificates ORDER BY proof_id');
  return rows.map((row) => row.proof_id);
}

async function states(ids: readonly ProofId[]): Promise<string[]> {
  const { rows } = await owner.query(
    'SELECT p.state FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) JOIN proofs p ON p.id = u.id ORDER BY u.n',
    [ids],
  );
  return rows.map((row) => row.state);
}

/** Counters against rows, at every node; throws where they differ or exceed the quota. */
async function checkCounters(): Promise<void> {
  const { rows } = await owner.query(`
    SELECT p.grant_id, p.n, NULL AS unit, p.quota, p.used, (SELECT count(*) FROM licence_consumptions c WHERE c.grant_id = p.grant_id AND c.n = p.n) AS counted FROM licence_periods p
    UNION ALL
    SELECT a.grant_id, a.n, a.org_unit_id, a.quota, a.used, (SELECT count(*) FROM licence_consumptions c JOIN org_units u ON u.id = c.org_unit_id
      WHERE c.grant_id = a.grant_id AND c.n = a.n AND a.org_unit_id = ANY (u.path)) FROM licence_allocations a`);
  for (const row of rows) {
    expect(row.used).toBe(row.counted);
    expect(row.used <= row.quota).toBe(true);
  }
  const { rows: odd } = await owner.query(
    'SELECT proof_id FROM licence_consumptions FULL JOIN certificates USING (proof_id) WHERE at IS NULL OR number IS NULL',
  );
  expect(odd).toEqual([]);
}

const sorted = (ids: readonly string[]): string[] => [...ids].sort();

/** As a drain that found no room left them. */
async function tellToWait(ids: readonly string[]): Promise<void> {
  await owner.query("UPDATE proofs SET state = 'AWAITING_LICENSE' WHERE id = ANY ($1::uuid[])", [ids]);
  await owner.query('UPDATE licence_queue SET awaiting = true WHERE proof_id = ANY ($1::uuid[])', [ids]);
}

describe('draining licences', () => {
  it('takes out of the queue who has a draft already, and serves those behind', async () => {
    const { batchId, proofIds } = await queue(3);
    await grant(tenant, { quota: 9 });
    await owner.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, payload, timestamp_size, drafted_at)
       VALUES ($1, $2, $3, 'PL-1', 'CERTIFIED_NO_ANCHOR', '{}', 1, now())`,
      [proofIds[0], tenant.tenantId, batchId],
    );
    expect(await drain(tenant, { batchIds: [batchId] })).toMatchObject({ drafted: 2, more: false });
    expect((await owner.query('SELECT FROM licence_queue')).rowCount).toBe(0);
    expect((await owner.query('SELECT FROM licence_consumptions')).rowCount).toBe(2);
  });

  it('wakes no batch that is certifying still: it looks for its drafts before it rests', async () => {
    const mine = await queue(1);
    await queue(2);
    await grant(tenant, { quota: 9 });
    expect(await drain(tenant, { batchIds: [mine.batchId] })).toMatchObject({ drafted: 3 });
    expect((await owner.query('SELECT FROM outbox')).rowCount).toBe(0);
  });

  it('serves older waiters of another batch first and wakes that batch under its generation', async () => {
    const newer = await queue(3, { receivedAt: '2026-01-31T08:30:00.000000Z' });
    const older = await queue(3, { receivedAt: '2026-01-31T08:00:00.000000Z' });
    await tellToWait(older.proofIds);
    await owner.query('UPDATE batches SET generation = 2 WHERE id = $1', [older.batchId]);
    await grant(tenant, { quota: 4 });
    const result = await drain(tenant, { batchIds: [newer.batchId] });
    expect(result).toMatchObject({ drafted: 4, waiting: 2, more: false });
    expect(sorted(result.batchesServed)).toEqual(sorted([newer.batchId, older.batchId]));
    expect(await drafted()).toEqual(sorted([...older.proofIds, newer.proofIds[0] as string]));
    expect(await states(newer.proofIds)).toEqual(['TIMESTAMPED', 'AWAITING_LICENSE', 'AWAITING_LICENSE']);
    const { rows } = await owner.query('SELECT kind, workflow_id, name, payload FROM outbox');
    expect(rows).toEqual([
      { kind: 'signal', workflow_id: `batch:${older.batchId}:2`, name: 'licencesGranted', payload: {} },
    ]);
    await checkCounters();
  });

  it('tells waiters once, in one row of timeline and one event for their batch and tenant', async () => {
    const { batchId, proofIds } = await queue(5);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 5, batchesServed: [] });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0 });
    expect(new Set(await states(proofIds))).toEqual(new Set(['AWAITING_LICENSE']));
    const select = 'SELECT tenant_id, batch_id, state, members, exceptions';
    const row = {
      tenant_id: tenant.tenantId,
      batch_id: batchId,
      state: 'AWAITING_LICENSE',
      members: null,
      exceptions: null,
    };
    expect((await owner.query(`${select}, changes_state, detail FROM timeline`)).rows).toEqual([
      { ...row, changes_state: true, detail: { reason: 'no-licence' } },
    ]);
    expect((await owner.query(`${select}, type FROM events`)).rows).toEqual([
      { ...row, type: 'proof.awaiting_license' },
    ]);
  });

  it('names in the timeline who waits when the rest of the batch is served', async () => {
    const { proofIds } = await queue(5);
    await grant(tenant, { quota: 4 });
    await drain();
    const { rows } = await owner.query('SELECT members, exceptions, detail FROM timeline');
    expect(rows).toEqual([{ members: [proofIds[4]], exceptions: null, detail: { reason: 'quota-exhausted' } }]);
  });

  it('serves who waited once there is a grant, and nobody twice', async () => {
    const { batchId, proofIds } = await queue(3);
    await drain();
    await grant(tenant);
    expect(await drain()).toMatchObject({ drafted: 3, waiting: 0, batchesServed: [batchId] });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0, batchesServed: [] });
    expect(await drafted()).toEqual(sorted(proofIds));
    await checkCounters();
  });

  it('passes over a unit whose own share is used up and serves its sibling, however many wait before it', async () => {
    const left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const stuck = await queue(30, { orgUnitId: left });
    const free = await queue(5, { orgUnitId: right, receivedAt: '2026-01-31T08:45:00.000000Z' });
    await grant(tenant, {
      quota: 100,
      allocations: [
        { orgUnit: left, limit: 2 },
        { orgUnit: right, limit: 50 },
      ],
    });
    const result = await drain(tenant, { limit: 10 });
    expect(result).toMatchObject({ drafted: 7, waiting: 28, more: false });
    expect(await drafted()).toEqual(sorted([...stuck.proofIds.slice(0, 2), ...free.proofIds]));
    await checkCounters();
  });

  it('lets a unit without a share use its parent’s', async () => {
    const child = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const grandchild = await seedOrgUnit(owner, tenant.tenantId, child);
    await queue(3, { orgUnitId: grandchild });
    await grant(tenant, { quota: 100, allocations: [{ orgUnit: child, limit: 2 }] });
    expect(await drain()).toMatchObject({ drafted: 2, waiting: 1 });
    await checkCounters();
  });

  it('never exceeds a limit at any node under 64 concurrent callers', async () => {
    const left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const leaf = await seedOrgUnit(owner, tenant.tenantId, left);
    const units: readonly OrgUnitId[] = [tenant.orgUnitId, left, right, leaf];
    for (let i = 0; i < 24; i++) {
      const orgUnitId = units[i % units.length] as OrgUnitId;
      await queue(10, { orgUnitId, receivedAt: `2026-01-31T08:${String(59 - i).padStart(2, '0')}:00.000000Z` });
    }
    await grant(tenant, {
      quota: 150,
      allocations: [
        { orgUnit: left, limit: 60 },
        { orgUnit: leaf, limit: 17 },
        { orgUnit: right, limit: 13 },
      ],
    });
    const results = await Promise.all(Array.from({ length: 64 }, (_, i) => drain(tenant, { limit: 1 + (i % 9) })));
    let total = results.reduce((sum, r) => sum + r.drafted, 0);
    for (let more = true; more; ) {
      const rest = await drain();
      total += rest.drafted;
      more = rest.more;
    }
    // 60 of the root's own, 60 under left (17 of them or fewer in its leaf), 13 of right.
    expect(total).toBe(60 + 60 + 13);
    expect((await drafted()).length).toBe(total);
    const { rows } = await owner.query("SELECT count(*)::int AS n FROM proofs WHERE state = 'AWAITING_LICENSE'");
    expect(rows[0].n).toBe(240 - total);
    await checkCounters();
  }, 60_000);

  it('keeps tenants apart, and two batches that hold both in opposite order do not block each other', async () => {
    const other = await seedTenant(owner);
    const of = (t: SeededTenant) => ({ tenantId: t.tenantId, orgUnitId: t.orgUnitId });
    const first = await queue(20, of(tenant));
    await queue(20, { ...of(other), batchId: first.batchId });
    const second = await queue(20, of(other));
    await queue(20, { ...of(tenant), batchId: second.batchId });
    await grant(tenant, { quota: 25 });
    await grant(other, { quota: 1_000 });
    const run = async (order: readonly SeededTenant[], batchId: BatchId) => {
      for (const t of order)
        await drain(t, { batchIds: [batchId], limit: 3 }).then(() => drain(t, { batchIds: [batchId] }));
    };
    await Promise.all([run([tenant, other], first.batchId), run([other, tenant], second.batchId)]);
    const { rows } = await owner.query('SELECT tenant_id, count(*)::int AS n FROM certificates GROUP BY tenant_id');
    expect(new Map(rows.map((row) => [row.tenant_id, row.n]))).toEqual(
      new Map([
        [tenant.tenantId, 25],
        [other.tenantId, 40],
      ]),
    );
    await checkCounters();
  });

  it('loses the race against a cancellation that holds the row, and takes no unit', async () => {
    const { proofIds } = await queue(2);
    await grant(tenant);
    const client = await owner.connect();
    await client.query('BEGIN');
    await client.query("UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [proofIds[0]]);
    const { rows } = await client.query('SELECT pg_current_xact_id()::text AS xid');
    const draining = drain();
    await isWaitedFor(rows[0].xid);
    await client.query('COMMIT');
    client.release();
    expect(await draining).toMatchObject({ drafted: 1 });
    expect(await drafted()).toEqual([proofIds[1]]);
    expect((await owner.query('SELECT FROM licence_queue')).rowCount).toBe(0);
    await checkCounters();
  });

  it('charges units by the tree as it stands once the tenant is locked, and leaves who joined meanwhile to their own caller', async () => {
    const left = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const right = await seedOrgUnit(owner, tenant.tenantId, tenant.orgUnitId);
    const leaf = await seedOrgUnit(owner, tenant.tenantId, left);
    await queue(4, { orgUnitId: leaf, receivedAt: '2026-01-31T08:30:00.000000Z' });
    await grant(tenant, {
      quota: 100,
      allocations: [
        { orgUnit: left, limit: 1 },
        { orgUnit: right, limit: 9 },
      ],
    });
    const client = await owner.connect();
    await client.query('BEGIN');
    await client.query('SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE', [tenant.tenantId]);
    const { rows } = await client.query('SELECT pg_current_xact_id()::text AS xid');
    // A chunk for which there is room everywhere: the queue is read in one scan.
    const draining = drain(tenant, { limit: 5 });
    await isWaitedFor(rows[0].xid);
    // The drain has read which units queue, and holds no lock yet.
    await client.query('UPDATE org_units SET parent_id = $2, path = $3 WHERE id = $1', [
      leaf,
      right,
      [tenant.orgUnitId, right, leaf],
    ]);
    const older = await queue(5, { orgUnitId: left, receivedAt: '2026-01-31T08:00:00.000000Z' });
    await client.query('COMMIT');
    client.release();
    expect(await draining).toMatchObject({ drafted: 4, waiting: 0, more: false });
    const { rows: shares } = await owner.query('SELECT org_unit_id AS unit, used FROM licence_allocations');
    expect(new Map(shares.map((row) => [row.unit, row.used]))).toEqual(
      new Map([
        [left, 0n],
        [right, 4n],
      ]),
    );
    expect(await drain()).toMatchObject({ drafted: 1, waiting: 4 });
    expect(await drafted()).toContain(older.proofIds[0]);
    await checkCounters();
  });

  it('takes no lock where nobody queues', async () => {
    const client = await owner.connect();
    await client.query('BEGIN');
    await client.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [tenant.tenantId]);
    expect(await drain()).toEqual({ drafted: 0, waiting: 0, batchesServed: [], more: false });
    await client.query('ROLLBACK');
    client.release();
  });

  it('goes on in further transactions beyond its limit and says when more is left', async () => {
    await queue(50);
    await grant(tenant);
    expect(await drain(tenant, { limit: 5 })).toMatchObject({ drafted: 40, more: true });
    expect(await drain(tenant, { limit: 5 })).toMatchObject({ drafted: 10, more: false });
  });

  it('hears of each transaction', async () => {
    await queue(10);
    await grant(tenant);
    let steps = 0;
    await drain(tenant, { limit: 5, onStep: () => steps++ });
    expect(steps).toBeGreaterThanOrEqual(2);
  });
});

describe('the evidence of a draft', () => {
  it('is the first timestamp and the smallest verified anchor that cover the leaf', async () => {
    const proof = await seedQueuedProofs(owner, 1, { ...ids(), state: 'ANCHORED', anchorPolicy: 'REQUIRED' });
    await coverLeaves(owner, { origin: ORIGIN, at: '2026-01-31T08:10:00.123456Z' });
    await seedQueuedProofs(owner, 1, ids());
    await coverLeaves(owner, { origin: ORIGIN, at: '2026-01-31T08:20:00.000000Z', anchor: 'SENT' });
    await seedQueuedProofs(owner, 1, ids());
    const anchored = await coverLeaves(owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    await seedQueuedProofs(owner, 1, ids());
    await coverLeaves(owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    const { grantId } = await grant(tenant);
    await drain();
    const id = proof.proofIds[0] as ProofId;
    const { rows } = await owner.query(
      `SELECT c.*, p.digest, l.leaf, a.entry FROM certificates c JOIN proofs p ON p.id = c.proof_id JOIN leaves l ON l.proof_id = p.id
       JOIN anchors a ON a.size = c.anchor_size WHERE c.proof_id = $1`,
      [id],
    );
    const row = rows[0];
    const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
    const entry = row.entry;
    expect(row).toMatchObject({
      final_state: 'CERTIFIED',
      timestamp_size: 1n,
      anchor_size: anchored,
      drafted_at: now,
      jws: null,
    });
    expect(row.payload).toBe(canonicalText(JSON.parse(row.payload)));
    expect(JSON.parse(row.payload)).toEqual({
      type: 'proofline/certificate/v1',
      number: row.number,
      tenant: tenant.tenantId,
      proof: id,
      digest: { alg: 'sha-256', value: toHex(row.digest) },
      leaf: toHex(row.leaf),
      log: { origin: ORIGIN, index: '0', size: '1', root: toBase64Url(hash('root of 1')) },
      timestamp: {
        tsa: 'tsa',
        tokenSha256: createHash('sha256').update(hash('token of 1')).digest('hex'),
        time: '2026-01-31T08:10:00.123456Z',
      },
      anchorPolicy: 'REQUIRED',
      anchor: {
        entrySha256: anchorEntryDigest(entry),
        ledger: 'hedera-hcs/v1',
        network: 'simulator',
        topicId: '0.0.1001',
        sequenceNumber: `${anchored}`,
        consensusTimestamp: `${anchored}.000000000`,
      },
      licence: { grant: grantId, period: '0' },
      issuedAt: now,
      links: {
        proof: `https://p.example/v1/proofs/${id}`,
        bundle: `https://p.example/v1/proofs/${id}/bundle`,
        verify: `https://p.example/v1/verify/${id}`,
      },
    });
    expect(row.number).toMatch(/^PL-2026-\d{10}$/);
  });

  it('says in words that there is no anchor', async () => {
    await queue(1);
    await grant(tenant);
    await drain();
    const { rows } = await owner.query('SELECT final_state, anchor_size, payload FROM certificates');
    expect(rows[0]).toMatchObject({ final_state: 'CERTIFIED_NO_ANCHOR', anchor_size: null });
    expect(JSON.parse(rows[0].payload).anchor).toEqual({ none: NO_ANCHOR_WORDS });
  });

  it('is never drafted without an anchor where the policy is REQUIRED', async () => {
    const { proofIds } = await queue(1, { anchorPolicy: 'REQUIRED' });
    await grant(tenant);
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0, more: false });
    expect(await states(proofIds)).toEqual(['TIMESTAMPED']);
    await coverLeaves(owner, { origin: ORIGIN, anchor: 'VERIFIED' });
    expect(await drain()).toMatchObject({ drafted: 1 });
  });

  it('is drafted without an anchor under PREFERRED from the deadline on', async () => {
    await queue(1, { anchorPolicy: 'PREFERRED', anchorDeadline: '2026-01-31T09:10:00.000000Z' });
    await grant(tenant);
    now = '2026-01-31T09:09:59.999999Z';
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 0 });
    now = '2026-01-31T09:10:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
  });

  it('does not keep complete proofs waiting behind one that is not', async () => {
    await queue(3, { anchorPolicy: 'REQUIRED' });
    await queue(3, { receivedAt: '2026-01-31T08:30:00.000000Z' });
    await grant(tenant);
    expect(await drain(tenant, { limit: 2 })).toMatchObject({ drafted: 3, more: false });
  });

  it('does not ask to be called again when nobody it looked at can be settled', async () => {
    await queue(12, { anchorPolicy: 'REQUIRED' });
    await grant(tenant);
    expect(await drain(tenant, { limit: 1 })).toMatchObject({ drafted: 0, waiting: 0, more: false });
  });
});

describe('periods', () => {
  const monthly = (rollover: number) =>
    ({ type: 'MONTHLY', count: 3, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover }) as const;

  it('are half-open, and the next one is open to the first proof of its first instant', async () => {
    await queue(4);
    await grant(tenant, { quota: 1, term: monthly(0) });
    now = '2026-02-27T22:59:59.999999Z';
    expect(await drain()).toMatchObject({ drafted: 1, waiting: 3 });
    now = '2026-02-27T23:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
    const { rows } = await owner.query('SELECT n, starts_at, ends_at, quota, used FROM licence_periods ORDER BY n');
    expect(rows).toEqual([
      { n: 0, starts_at: '2026-01-30T23:00:00.000000Z', ends_at: '2026-02-27T23:00:00.000000Z', quota: 1n, used: 1n },
      { n: 1, starts_at: '2026-02-27T23:00:00.000000Z', ends_at: '2026-03-30T22:00:00.000000Z', quota: 1n, used: 1n },
    ]);
    now = '2026-04-29T22:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 0 });
    const { rows: after } = await owner.query('SELECT max(n) AS n FROM licence_periods');
    expect(after).toEqual([{ n: 2 }]);
  });

  it('pass on what they leave over, as far as the grant says', async () => {
    await queue(9);
    await grant(tenant, { quota: 5, term: monthly(3) });
    await owner.query('UPDATE licence_periods SET used = 4');
    now = '2026-03-30T22:00:00.000000Z';
    expect(await drain()).toMatchObject({ drafted: 8, waiting: 1 });
    const { rows } = await owner.query('SELECT quota FROM licence_periods ORDER BY n');
    expect(rows.map((row) => row.quota)).toEqual([5n, 6n, 8n]);
  });

  it('are consumed in the order in which they end', async () => {
    await queue(3);
    const perpetual = await grant(tenant, { quota: 5 });
    const ending = await grant(tenant, { quota: 2, term: monthly(0) });
    await drain();
    const { rows } = await owner.query(
      'SELECT grant_id, count(*)::int AS n FROM licence_consumptions GROUP BY grant_id',
    );
    expect(new Map(rows.map((row) => [row.grant_id, row.n]))).toEqual(
      new Map([
        [ending.grantId, 2],
        [perpetual.grantId, 1],
      ]),
    );
  });

  it('of a grant that is revoked, over or not yet begun give nothing', async () => {
    await queue(1);
    const revoked = await grant(tenant);
    await owner.query('UPDATE licence_grants SET revoked_at = $2 WHERE id = $1', [revoked.grantId, now]);
    await grant(tenant, { notAfter: now });
    await grant(tenant, { notBefore: '2026-01-31T09:00:00.000001Z' });
    expect(await drain()).toMatchObject({ drafted: 0, waiting: 1 });
    now = '2026-01-31T09:00:00.000001Z';
    expect(await drain()).toMatchObject({ drafted: 1 });
  });
});

function ids(): { readonly tenantId: SeededTenant['tenantId']; readonly orgUnitId: OrgUnitId } {
  return { tenantId: tenant.tenantId, orgUnitId: tenant.orgUnitId };
}

/** Resolves once some session waits for this transaction to end. */
async function isWaitedFor(xid: string): Promise<void> {
  for (;;) {
    const { rowCount } = await owner.query('SELECT FROM pg_locks WHERE NOT granted AND transactionid = $1::text::xid', [
      xid,
    ]);
    if (rowCount !== 0) return;
  }
}
