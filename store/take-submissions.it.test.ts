import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { BatchId } from '../domain/ids.ts';
import type { AnchorPolicy } from '../domain/states.ts';
import { useBatches } from '../test/support/batches.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { takeJoiners } from './batch-joiners.ts';
import { markSealed } from './batches.ts';
import { formBatch } from './form-batch.ts';
import { inTransaction } from './pool.ts';

const world = useBatches();
/** Seconds since the first submission of the file: each one is younger than those before. */
let second = 0;

/** So many submissions of a tenant that wait for a batch; their proofs are left out, forming does not read them. */
async function queue(
  { tenantId, orgUnitId, apiKeyId }: SeededTenant,
  submissions: number,
  proofs: number,
  policy: AnchorPolicy = 'NONE',
): Promise<void> {
  await world.owner.query(
    `WITH added AS (
       INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash)
       SELECT gen_random_uuid(), $1, $2, $3, $4, 'express', $5, timestamptz '2026-01-31T08:00:00Z' + ($6 + n) * interval '1 second', sha256('')
       FROM generate_series(1, $7::int) n
       RETURNING id, tenant_id, anchor_policy, anchor_window, proof_count, received_at)
     INSERT INTO submission_queue (submission_id, tenant_id, anchor_policy, anchor_window, proof_count, received_at) SELECT * FROM added`,
    [tenantId, orgUnitId, apiKeyId, policy, proofs, second, submissions],
  );
  second += submissions;
}

const tenants = (n: number): Promise<SeededTenant[]> =>
  Promise.all(Array.from({ length: n }, () => seedTenant(world.owner)));

/** The batch at this place, from 0, in the order in which they were formed. */
const batchAt = async (n: number) => {
  const batch = (await world.all()).at(n);
  if (batch === undefined) throw new Error(`no batch ${n}`);
  return batch;
};

/** How many proofs of each tenant a batch carries. */
async function sharesOf(batch: BatchId): Promise<ReadonlyMap<string, number>> {
  const { rows } = await world.owner.query(
    'SELECT tenant_id, sum(proof_count)::int AS n FROM submissions WHERE batch_id = $1 GROUP BY tenant_id',
    [batch],
  );
  return new Map(rows.map((row) => [row.tenant_id, row.n]));
}

const seal = (batch: BatchId) => inTransaction(world.db, (tx) => markSealed(tx, batch, world.now()));

describe('a place before the seal that comes free', () => {
  it('is left to others by a flood of submissions of any size', async () => {
    const [flood, quiet] = (await tenants(2)) as [SeededTenant, SeededTenant];
    await queue(flood, 40, 500, 'REQUIRED');
    await queue(flood, 4, 5_000, 'REQUIRED');
    const outcomes = [];
    for (let i = 0; i < 7; i++) outcomes.push(await world.life.form());
    expect(outcomes.sort()).toEqual(['crowd', 'crowd', 'crowd', 'crowd', 'large', 'large', 'nothing']);
    await queue(quiet, 1, 1, 'REQUIRED');
    expect(await world.life.form()).toBe('prompt');
    expect(await batchAt(6)).toMatchObject({ proof_count: 1, tenants: [quiet.tenantId] });
  });

  it('goes to and fro between two classes that are both flooded', async () => {
    const [a, b] = (await tenants(2)) as [SeededTenant, SeededTenant];
    await queue(a, 12, 1_000, 'REQUIRED');
    await queue(b, 12, 1_000, 'NONE');
    for (let i = 0; i < 4; i++) expect(await world.life.form(4)).toBe('crowd');
    for (let i = 0; i < 4; i++) {
      await seal((await batchAt(i)).id);
      expect(await world.life.form(4)).toBe('crowd');
    }
    const policies = (await world.all()).map((batch) => batch.anchor_policy);
    expect(policies.filter((policy) => policy === 'NONE')).toHaveLength(4);
  });

  it('of a large submission is the other tenant’s when one has many of them', async () => {
    const [flood, other] = (await tenants(2)) as [SeededTenant, SeededTenant];
    await queue(flood, 10, 5_000);
    await queue(other, 1, 1_001);
    expect([await world.life.form(), await world.life.form()]).toEqual(['large', 'large']);
    expect((await world.all()).flatMap((batch) => batch.tenants).sort()).toEqual(
      [flood.tenantId, other.tenantId].sort(),
    );
  });
});

describe('a batch', () => {
  it('takes twenty proofs however large the submissions of two floods before them', async () => {
    const [a, b, other] = (await tenants(3)) as [SeededTenant, SeededTenant, SeededTenant];
    await queue(a, 6, 1_000);
    await queue(b, 6, 1_000);
    await queue(other, 20, 1);
    expect(await world.life.form()).toBe('crowd');
    expect((await sharesOf((await batchAt(0)).id)).get(other.tenantId)).toBe(20);
  });

  it('that has room for joiners takes twenty proofs past submissions that are too large for it', async () => {
    const [a, b, quiet] = (await tenants(3)) as [SeededTenant, SeededTenant, SeededTenant];
    await queue(a, 1, 700);
    const joinableUntil = { crowd: '2027-01-01T00:00:00Z' };
    await formBatch(world.db, { newId: randomUUID, now: world.now(), maxUnsealed: 8, joinableUntil });
    await queue(a, 6, 1_000);
    await queue(b, 6, 1_000);
    await queue(quiet, 1, 20);
    const { id } = await batchAt(0);
    const joined = await inTransaction(world.db, (tx) => takeJoiners(tx, { batch: id, now: world.now() }));
    expect(joined).toHaveLength(2);
    expect((await sharesOf(id)).get(quiet.tenantId)).toBe(20);
  });

  it('gives each of three tenants with endless backlogs its part, whatever the sizes of their submissions', async () => {
    for (const sizes of [
      [1_000, 1, 1],
      [1_000, 700, 1],
      [1_000, 999, 300],
    ]) {
      await world.life.reset();
      const all = (await tenants(3)).map((tenant, i) => ({ tenant, size: sizes[i] ?? 1 }));
      for (const { tenant, size } of all) await queue(tenant, Math.ceil(4_000 / size), size);
      const taken = new Map<string, number>();
      // Who goes first is drawn by lot, so when each had its part differs; that it comes this late does not happen.
      for (let turn = 0; all.some(({ tenant }) => (taken.get(tenant.tenantId) ?? 0) < 2_000); turn++) {
        if (turn === 30) throw new Error(`of 30 batches ${JSON.stringify([...taken.values()])}`);
        expect(await world.life.form()).toBe('crowd');
        const batch = (await batchAt(turn)).id;
        for (const [tenant, n] of await sharesOf(batch)) taken.set(tenant, (taken.get(tenant) ?? 0) + n);
        await seal(batch);
        for (const { tenant, size } of all) await queue(tenant, Math.ceil(2_000 / size), size);
      }
    }
  }, 60_000);
});

describe('a tenant', () => {
  const lone = (tenant: SeededTenant) => queue(tenant, 1, 1);

  it('that sends one proof at a time is prompt, one with sixteen that wait is a crowd', async () => {
    const [a, b] = (await tenants(2)) as [SeededTenant, SeededTenant];
    await queue(a, 16, 1);
    await queue(b, 15, 1);
    expect(await world.life.form()).toBe('crowd');
    expect(await world.life.form()).toBe('prompt');
    expect([(await batchAt(0)).tenants, (await batchAt(1)).tenants]).toEqual([[a.tenantId], [b.tenantId]]);
  });

  it('that was a crowd in an unsealed batch still is, and no more once it sends little', async () => {
    const [a] = (await tenants(1)) as [SeededTenant];
    await queue(a, 16, 1);
    expect(await world.life.form()).toBe('crowd');
    await lone(a);
    expect(await world.life.form()).toBe('crowd');
    for (const n of [0, 1]) await seal((await batchAt(n)).id);
    await lone(a);
    // Of the first batch it had sixteen; that batch is young as long as our clock says so.
    expect(await world.life.form()).toBe('crowd');
    await seal((await batchAt(2)).id);
    await world.owner.query("UPDATE batches SET state = 'CLOSED', formed_at = formed_at - interval '4 seconds'");
    await lone(a);
    expect(await world.life.form()).toBe('crowd');
    await seal((await batchAt(3)).id);
    await world.owner.query("UPDATE batches SET formed_at = formed_at - interval '4 seconds'");
    await lone(a);
    expect(await world.life.form()).toBe('prompt');
  });

  it('that sends proofs faster than a prompt batch is sealed is a crowd from the next on', async () => {
    const [a] = (await tenants(1)) as [SeededTenant];
    const joinableUntil = { prompt: '2027-01-01T00:00:00Z' };
    await lone(a);
    await formBatch(world.db, { newId: randomUUID, now: world.now(), maxUnsealed: 8, joinableUntil });
    const { id } = await batchAt(0);
    for (let i = 0; i < 15; i++) {
      await lone(a);
      expect(await inTransaction(world.db, (tx) => takeJoiners(tx, { batch: id, now: world.now() }))).toHaveLength(1);
    }
    await seal(id);
    await lone(a);
    expect(await world.life.form()).toBe('crowd');
  });

  it('is no crowd for its large submissions: its single proof goes at once', async () => {
    const [a] = (await tenants(1)) as [SeededTenant];
    await queue(a, 3, 5_000);
    expect([await world.life.form(), await world.life.form(), await world.life.form()]).toEqual([
      'large',
      'large',
      'nothing',
    ]);
    await lone(a);
    expect(await world.life.form()).toBe('prompt');
  });
});
