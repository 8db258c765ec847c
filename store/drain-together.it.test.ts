import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Clock } from '../domain/clock.ts';
import type { BatchId } from '../domain/ids.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { baseGrant } from '../test/support/grants.ts';
import { holdTransaction } from '../test/support/held-transaction.ts';
import { coverLeaves, seedQueuedProofs } from '../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { drainTogether } from './drain-together.ts';
import { insertGrant } from './licences.ts';
import { type Db, inTransaction } from './pool.ts';

const NOW = '2026-01-31T09:00:00.000000Z';
/** Transactions that looked at the clock: each drain does once. */
let drains = 0;
const clock: Clock = {
  nowMs: () => Date.parse(NOW),
  nowMicros: () => {
    drains++;
    return NOW;
  },
};
let test: TestDatabase;
let db: Db;
let owner: Db;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  [db, owner] = [test.pool('proofline_worker'), test.pool('proofline_owner')];
});
afterAll(() => test.drop());
beforeEach(async () => {
  await owner.query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, batch_wakes, events, timeline, licence_queue, licence_consumptions, licence_unit_usage, certificates CASCADE',
  );
  tenant = await seedTenant(owner);
  const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: NOW };
  await inTransaction(db, (tx) => insertGrant(tx, { ...baseGrant(tenant.tenantId), quota: 100 }, file));
  drains = 0;
});

async function queue(count: number): Promise<BatchId> {
  // They were told to wait: a batch that is certifying still is never woken.
  const { batchId } = await seedQueuedProofs(owner, count, { ...tenant, state: 'AWAITING_LICENSE' });
  await coverLeaves(owner, { origin: 'o' });
  return batchId;
}

const call = (batchId?: BatchId) =>
  drainTogether(db, tenant.tenantId, {
    clock,
    origin: 'o',
    publicUrl: 'https://p.example',
    ...(batchId && { batchId }),
  });

/** Another process holds the tenant; `waiter` is the backend that waits for it. */
const holdTenant = () =>
  holdTransaction(owner, 'SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE', [tenant.tenantId]);

describe('callers of one tenant', () => {
  it('that come while a drain is under way share the next one, which sees what they brought', async () => {
    const batches = [await queue(2)];
    const other = await holdTenant();
    const first = call(batches[0]);
    await other.waiter();
    for (let i = 0; i < 5; i++) batches.push(await queue(3));
    const woken = await queue(1);
    const later = batches.slice(1).map((batch) => call(batch));
    await other.commit();
    // The first drain had read its units before; what queued of them until it had the lock is its own.
    expect(await first).toMatchObject({ drafted: 18, more: false });
    const nothing = { drafted: 0, waiting: 0, batchesServed: [], unready: [], more: false };
    expect(await Promise.all(later)).toEqual(later.map(() => nothing));
    expect(drains).toBe(1);
    const { rows } = await owner.query('SELECT batch_id FROM batch_wakes');
    // Those who called later get a wake that they need not have; the drain that served them did not know of them.
    expect(rows.map((row) => row.batch_id)).toContain(woken);
    expect(rows.map((row) => row.batch_id)).not.toContain(batches[0]);
  });

  it('hear the failure of the drain they share, while those before and after go on', async () => {
    const mine = await queue(2);
    const other = await holdTenant();
    const first = call(mine);
    const pid = await other.waiter();
    const second = call(mine);
    const third = call();
    await db.query('SELECT pg_terminate_backend($1)', [pid]);
    await expect(first).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const killed = await other.waiter();
    await db.query('SELECT pg_terminate_backend($1)', [killed]);
    await expect(second).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect(third).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await other.commit();
    expect(await call(mine)).toMatchObject({ drafted: 2 });
    const { rows } = await owner.query('SELECT count(*)::int AS wakes FROM batch_wakes');
    expect(rows).toEqual([{ wakes: 0 }]);
  });

  it('are told once what their drain did, and wake none of the batches that call', async () => {
    const other = await holdTenant();
    await queue(1);
    const first = call();
    const pid = await other.waiter();
    const [a, b] = [await queue(2), await queue(3)];
    const shared = [call(a), call(b), call()];
    await db.query('SELECT pg_terminate_backend($1)', [pid]);
    await expect(first).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await other.waiter();
    await other.commit();
    expect((await Promise.all(shared)).map(({ drafted }) => drafted)).toEqual([6, 0, 0]);
    const { rows } = await owner.query('SELECT batch_id FROM batch_wakes');
    expect(rows).toHaveLength(1);
    expect([a, b]).not.toContain(rows[0].batch_id);
  });
});
