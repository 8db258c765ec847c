/** Batches on their way through the store, one step at a time; a fresh log per test. */
import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import type { BatchId, ProofId } from '../../domain/ids.ts';
import { markSealed } from '../../store/batches.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { type AcceptedOptions, acceptProofs } from './accepted.ts';
import { type BatchLife, createBatchLife } from './batch-life.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import type { SeededTenant } from './seed.ts';

export interface BatchRow {
  readonly id: BatchId;
  readonly proof_count: number;
  readonly tenants: string[];
  readonly anchor_policy: string;
}

export interface Batches {
  readonly test: TestDatabase;
  readonly db: Db;
  readonly owner: Db;
  readonly life: BatchLife;
  /** Strictly increasing, so that every transaction has an instant of its own. */
  now(): string;
  /** In the order in which they were formed. */
  all(): Promise<readonly BatchRow[]>;
  /** Accepts so many proofs of the tenant and forms their batch. */
  formed(
    tenant: SeededTenant,
    count: number,
    options?: AcceptedOptions,
  ): Promise<{ readonly batch: BatchId; readonly proofIds: readonly ProofId[] }>;
  /** Seals every member; the batch is not armed. */
  seal(batch: BatchId): Promise<void>;
  /** Says that the log is covered up to this size, without the evidence itself. */
  cover(column: 'timestamped_size' | 'anchored_size', size: bigint): Promise<void>;
  /** How many proofs are in each state. */
  states(): Promise<Record<string, number>>;
  /** The workflows that are owed a signal, in order. */
  wakes(): Promise<string[]>;
  /** The steps of a proof as the API reads them, notes among them. */
  timelineOf(tenant: SeededTenant, proof: ProofId): Promise<string[]>;
}

/** Registers the hooks; what it returns is filled in before the first test. */
export function useBatches(): Batches {
  const world = {} as { -readonly [K in keyof Batches]: Batches[K] };
  beforeAll(async () => {
    const test = await createTestDatabase();
    const [db, owner, api] = [test.pool('proofline_worker'), test.pool('proofline_owner'), test.pool('proofline_api')];
    const life = createBatchLife(test);
    const all = async (): Promise<readonly BatchRow[]> => {
      const { rows } = await owner.query(
        'SELECT b.id, b.proof_count, b.anchor_policy, (SELECT array_agg(DISTINCT tenant_id) FROM submissions s WHERE s.batch_id = b.id) AS tenants FROM batches b ORDER BY formed_at',
      );
      return rows;
    };
    Object.assign(world, {
      test,
      db,
      owner,
      life,
      now: life.now,
      all,
      async formed(tenant: SeededTenant, count: number, options: AcceptedOptions = {}) {
        const { proofIds } = await acceptProofs(test, tenant, count, options);
        expect(await life.form()).toMatch(/^(prompt|crowd|large)$/);
        return { batch: (await all()).at(-1)?.id as BatchId, proofIds };
      },
      async seal(batch: BatchId) {
        await life.sealMembers(batch);
        await inTransaction(db, (tx) => markSealed(tx, batch, life.now()));
      },
      async cover(column: 'timestamped_size' | 'anchored_size', size: bigint) {
        await owner.query(`UPDATE log_progress SET ${column} = $1`, [size.toString()]);
      },
      async states() {
        const { rows } = await owner.query('SELECT state, count(*)::int AS n FROM proofs GROUP BY state');
        return Object.fromEntries(rows.map((row) => [row.state, row.n]));
      },
      async wakes() {
        const { rows } = await owner.query("SELECT workflow_id FROM outbox WHERE kind = 'signal' ORDER BY id");
        return rows.map((row) => row.workflow_id);
      },
      timelineOf: (tenant: SeededTenant, proof: ProofId) =>
        inTransaction(api, async (tx) => {
          await tx.query("SELECT set_config('proofline.tenant', $1, true)", [tenant.tenantId]);
          return (await tx.query('SELECT state FROM proof_timeline($1)', [proof])).rows.map((row) => row.state);
        }),
    } satisfies Batches);
  });
  afterAll(() => world.test.drop());
  beforeEach(() => world.life.reset());
  return world;
}
