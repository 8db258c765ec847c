import { describe, expect, it } from '@jest/globals';
import type { BatchId } from '../domain/ids.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { closeIfDone, findBatch, isUnderWay, readOpenBatches, restartBatch } from './batches.ts';
import { queueForLicence } from './certificates.ts';
import { inTransaction } from './pool.ts';

const world = useBatches();

describe('a batch under way', () => {
  it('is one of the lanes asked for, formed since, until it is closed or waits for an anchor', async () => {
    const { owner, test, life } = world;
    const tenant = await seedTenant(owner);
    const under = () => isUnderWay(test.pool('proofline_worker'), ['prompt', 'crowd'], '2026-01-31T08:00:00Z');
    const formed = async (proofs: number): Promise<BatchId> => {
      await acceptProofs(test, tenant, proofs);
      const batch = await life.formed();
      await owner.query("UPDATE batches SET formed_at = '2026-01-31T08:00:01Z' WHERE id = $1", [batch]);
      return batch;
    };
    const large = await formed(1_001);
    expect((await findBatch(owner, large)).lane).toBe('large');
    expect(await under()).toBe(false);
    const small = await formed(1);
    expect((await findBatch(owner, small)).lane).toBe('prompt');
    expect(await under()).toBe(true);
    await owner.query("UPDATE batches SET state = 'SEALED' WHERE id = $1", [small]);
    expect(await under()).toBe(true);
    await owner.query("UPDATE batches SET anchor_policy = 'REQUIRED' WHERE id = $1", [small]);
    expect(await under()).toBe(false);
    await owner.query("UPDATE batches SET state = 'FORMED' WHERE id = $1", [small]);
    expect(await under()).toBe(true);
    await owner.query("UPDATE batches SET formed_at = '2026-01-31T07:59:59Z' WHERE id = $1", [small]);
    expect(await under()).toBe(false);
    await owner.query("UPDATE batches SET formed_at = '2026-01-31T08:00:01Z', state = 'CLOSED' WHERE id = $1", [small]);
    expect(await under()).toBe(false);
  });
});

describe('formBatch', () => {
  it('gathers the submissions of all tenants that wait in one class', async () => {
    const [a, b] = [await seedTenant(world.owner), await seedTenant(world.owner)];
    await acceptProofs(world.test, a, 3);
    await acceptProofs(world.test, b, 1);
    expect(await world.life.form()).toBe('prompt');
    expect(await world.life.form()).toBe('nothing');
    expect(await world.all()).toMatchObject([{ proof_count: 4, tenants: [a.tenantId, b.tenantId].sort() }]);
    const { rows } = await world.owner.query('SELECT kind, name, payload FROM outbox');
    expect(rows).toMatchObject([{ kind: 'start', name: 'certifyBatch', payload: { proofCount: 4, generation: 1 } }]);
  });

  it('keeps classes apart and begins with the one that waits longest', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 1, { anchorPolicy: 'REQUIRED', receivedAt: '2026-01-31T08:00:02Z' });
    await acceptProofs(world.test, a, 1, { anchorPolicy: 'NONE', receivedAt: '2026-01-31T08:00:01Z' });
    await world.life.form();
    await world.life.form();
    expect((await world.all()).map((batch) => batch.anchor_policy)).toEqual(['NONE', 'REQUIRED']);
  });

  it('fills a batch to its capacity and lets a submission above a thousand travel alone', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 900, { receivedAt: '2026-01-31T08:00:01Z' });
    await acceptProofs(world.test, a, 1_001, { receivedAt: '2026-01-31T08:00:02Z' });
    await acceptProofs(world.test, a, 900, { receivedAt: '2026-01-31T08:00:03Z' });
    await acceptProofs(world.test, a, 900, { receivedAt: '2026-01-31T08:00:04Z' });
    expect([await world.life.form(), await world.life.form(), await world.life.form()]).toEqual([
      'crowd',
      'large',
      'crowd',
    ]);
    expect((await world.all()).map((batch) => batch.proof_count)).toEqual([1_800, 1_001, 900]);
  });

  it('gives a lone proof a batch of its own however many another tenant has waiting', async () => {
    const [flood, quiet] = [await seedTenant(world.owner), await seedTenant(world.owner)];
    for (let i = 0; i < 6; i++) await acceptProofs(world.test, flood, 900, { receivedAt: `2026-01-31T08:00:0${i}Z` });
    await acceptProofs(world.test, quiet, 1, { receivedAt: '2026-01-31T08:00:09Z' });
    expect([await world.life.form(), await world.life.form()]).toEqual(['crowd', 'prompt']);
    expect((await world.all())[1]?.tenants).toEqual([quiet.tenantId]);
  });

  it('stops while as many batches as allowed are before their seal', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 1_001);
    await acceptProofs(world.test, a, 1_001);
    expect(await world.life.form(1)).toBe('large');
    expect(await world.life.form(1)).toBe('full');
    await world.seal((await world.all())[0]?.id as BatchId);
    expect(await world.life.form(1)).toBe('large');
  });

  it('is not stopped by as many batches as allowed that wait for an anchor or a licence', async () => {
    const [stuck, other] = [await seedTenant(world.owner), await seedTenant(world.owner)];
    for (let i = 0; i < 8; i++) {
      const { batch } = await world.formed(stuck, 1, { anchorPolicy: i % 2 === 0 ? 'REQUIRED' : 'NONE' });
      await world.seal(batch);
    }
    await world.cover('timestamped_size', await world.life.integrate());
    await world.life.advance();
    const remainders = [];
    for (const { id } of await world.all()) {
      await queueForLicence(world.db, id, world.now());
      remainders.push(await inTransaction(world.db, (tx) => closeIfDone(tx, id, world.now())));
    }
    expect(remainders.filter(({ awaitingEvidence }) => awaitingEvidence === 1)).toHaveLength(4);
    expect(remainders.filter(({ awaitingLicence }) => awaitingLicence === 1)).toHaveLength(4);
    await acceptProofs(world.test, other, 1);
    expect(await world.life.form(8)).toBe('prompt');
    expect((await world.all()).at(-1)).toMatchObject({ proof_count: 1, tenants: [other.tenantId] });
  });

  it('seals two large submissions at once and leaves the other places to everybody else', async () => {
    const [flood, quiet] = [await seedTenant(world.owner), await seedTenant(world.owner)];
    for (let i = 0; i < 3; i++) await acceptProofs(world.test, flood, 1_001, { receivedAt: `2026-01-31T08:00:0${i}Z` });
    expect([await world.life.form(), await world.life.form(), await world.life.form()]).toEqual([
      'large',
      'large',
      'nothing',
    ]);
    await acceptProofs(world.test, quiet, 1, { receivedAt: '2026-01-31T08:00:09Z' });
    expect(await world.life.form()).toBe('prompt');
    expect((await world.all()).map((batch) => batch.proof_count)).toEqual([1_001, 1_001, 1]);
    await world.seal((await world.all())[0]?.id as BatchId);
    expect(await world.life.form()).toBe('large');
    expect((await world.all()).at(-1)).toMatchObject({ proof_count: 1_001 });
  });

  it('lets a tenant’s single proof go before its own large submissions that wait for a place', async () => {
    const a = await seedTenant(world.owner);
    for (let i = 0; i < 3; i++) await acceptProofs(world.test, a, 1_001, { receivedAt: `2026-01-31T08:00:0${i}Z` });
    await acceptProofs(world.test, a, 1, { receivedAt: '2026-01-31T08:00:09Z' });
    const outcomes = [];
    for (let i = 0; i < 4; i++) outcomes.push(await world.life.form());
    expect(outcomes.sort()).toEqual(['large', 'large', 'nothing', 'prompt']);
  });

  it('puts every submission into exactly one batch when many form at once', async () => {
    const a = await seedTenant(world.owner);
    for (let i = 0; i < 20; i++) await acceptProofs(world.test, a, 200);
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 6 }, () => world.life.form(100)));
    while ((await world.life.form(100)) !== 'nothing');
    const all = await world.all();
    expect(all.reduce((sum, batch) => sum + batch.proof_count, 0)).toBe(4_000);
    expect((await world.owner.query('SELECT FROM submissions WHERE batch_id IS NULL')).rowCount).toBe(0);
  });
});

describe('the end of a batch', () => {
  it('stays open while anything is left and closes when nothing is', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 2);
    await world.seal(batch);
    const close = () => inTransaction(world.db, (tx) => closeIfDone(tx, batch, world.now()));
    expect(await close()).toEqual({ awaitingEvidence: 2, awaitingLicence: 0, unsigned: 0 });
    await world.owner.query("UPDATE proofs SET state = 'CERTIFIED'");
    expect(await close()).toEqual({ awaitingEvidence: 0, awaitingLicence: 0, unsigned: 0 });
    expect((await world.owner.query('SELECT state FROM batches')).rows[0].state).toBe('CLOSED');
  });

  it('is not started again beside a start that Temporal has not got yet', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 2);
    const open = async () =>
      (await readOpenBatches(world.db, { who: 'moving', before: '2027-01-01T00:00:00Z', limit: 10 })).map(
        (b) => b.batchId,
      );
    expect(await open()).toEqual([]);
    await world.owner.query('DELETE FROM outbox');
    expect(await open()).toEqual([batch]);
  });

  it('tells former runs of the batch, one of which may have been set going again', async () => {
    const a = await seedTenant(world.owner);
    const { batch } = await world.formed(a, 1);
    await world.seal(batch);
    await world.owner.query("UPDATE proofs SET state = 'CERTIFIED'");
    await world.owner.query('UPDATE batches SET generation = 3');
    const close = () => inTransaction(world.db, (tx) => closeIfDone(tx, batch, world.now()));
    await close();
    await close();
    expect(await world.wakes()).toEqual([`batch:${batch}`, `batch:${batch}:2`]);
  });

  it('is started again under the next generation by one of two reconcilers', async () => {
    const a = await seedTenant(world.owner);
    await world.formed(a, 2);
    await world.owner.query('DELETE FROM outbox');
    const [open] = await readOpenBatches(world.db, { who: 'moving', before: '2027-01-01T00:00:00Z', limit: 10 });
    if (open === undefined) throw new Error('no open batch');
    const outcomes = await Promise.all([
      restartBatch(world.db, open, world.now()),
      restartBatch(world.db, open, world.now()),
    ]);
    expect(outcomes.sort()).toEqual(['no-longer-open', 'restarted']);
    expect((await world.owner.query('SELECT workflow_id FROM outbox')).rows).toEqual([
      { workflow_id: `batch:${open.batchId}:2` },
    ]);
  });
});
