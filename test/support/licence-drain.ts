/** A tenant whose proofs wait for their licence, at an instant that the test sets; fresh per test. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import type { BatchId, ProofId } from '../../domain/ids.ts';
import type { BaseGrant } from '../../domain/licence/grant.ts';
import { type DrainOptions, type DrainResult, drainLicences } from '../../store/drain-licences.ts';
import { insertGrant } from '../../store/licences.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import { baseGrant } from './grants.ts';
import { coverLeaves, type QueuedOptions, seedQueuedProofs } from './queued-proofs.ts';
import { type SeededTenant, seedTenant } from './seed.ts';

export const ORIGIN = 'log.example/licences';
const START = '2026-01-31T09:00:00.000000Z';

export interface LicenceDrain {
  readonly owner: Db;
  readonly tenant: SeededTenant;
  /** The instant of every drain and grant. */
  now: string;
  drain(of?: SeededTenant, options?: Partial<DrainOptions>): Promise<DrainResult>;
  /** A grant as an import leaves it. */
  grant(of: SeededTenant, changes?: Partial<BaseGrant>): Promise<BaseGrant>;
  /** Proofs of one new batch that are in the queue, their leaves covered by a token. */
  queue(
    count: number,
    options?: Partial<QueuedOptions>,
  ): Promise<{ readonly batchId: BatchId; readonly proofIds: readonly ProofId[] }>;
  /** Who has a draft, in the order of their ids. */
  drafted(): Promise<ProofId[]>;
  states(ids: readonly ProofId[]): Promise<string[]>;
  /** Counters against rows, at every node; throws where they differ or exceed the quota. */
  checkCounters(): Promise<void>;
}

/** Registers the hooks; what it returns is filled in before each test. */
export function useLicenceDrain(): LicenceDrain {
  let test: TestDatabase;
  let db: Db;
  const world = { now: START } as { -readonly [K in keyof LicenceDrain]: LicenceDrain[K] };
  const clock = { nowMs: () => Date.parse(world.now), nowMicros: () => world.now };
  beforeAll(async () => {
    test = await createTestDatabase();
    db = test.pool('proofline_worker');
    world.owner = test.pool('proofline_owner');
  });
  afterAll(() => test.drop());
  beforeEach(async () => {
    world.now = START;
    await world.owner.query(
      'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, anchors, outbox, batch_wakes, timeline, events, licence_queue, licence_consumptions, licence_unit_usage, certificates CASCADE',
    );
    world.tenant = await seedTenant(world.owner);
  });
  return Object.assign(world, {
    drain: (of: SeededTenant = world.tenant, options: Partial<DrainOptions> = {}) =>
      drainLicences(db, of.tenantId, { clock, origin: ORIGIN, publicUrl: 'https://p.example', ...options }),
    async grant(of: SeededTenant, changes: Partial<BaseGrant> = {}) {
      const { rows } = await world.owner.query(
        'SELECT count(*)::int + 1 AS seq FROM licence_grants WHERE tenant_id = $1',
        [of.tenantId],
      );
      const granted = { ...baseGrant(of.tenantId), ...changes, seq: rows[0].seq };
      const hash = createHash('sha256').update(granted.grantId).digest('hex');
      await inTransaction(db, (tx) => insertGrant(tx, granted, { hash, jws: '', by: 'test', now: world.now }));
      return granted;
    },
    async queue(count: number, options: Partial<QueuedOptions> = {}) {
      const { tenantId, orgUnitId } = world.tenant;
      const seeded = await seedQueuedProofs(world.owner, count, { tenantId, orgUnitId, ...options });
      await coverLeaves(world.owner, { origin: ORIGIN });
      return seeded;
    },
    async drafted() {
      const { rows } = await world.owner.query('SELECT proof_id FROM certificates ORDER BY proof_id');
      return rows.map((row) => row.proof_id);
    },
    async states(ids: readonly ProofId[]) {
      const { rows } = await world.owner.query(
        'SELECT p.state FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) JOIN proofs p ON p.id = u.id ORDER BY u.n',
        [ids],
      );
      return rows.map((row) => row.state);
    },
    checkCounters: () => checkCounters(world.owner),
  });
}

async function checkCounters(owner: Db): Promise<void> {
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
