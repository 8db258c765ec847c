import { beforeEach, describe, expect, it } from '@jest/globals';
import type { BatchId, ProofId } from '../domain/ids.ts';
import { type AcceptedOptions, acceptProofs } from '../test/support/accepted.ts';
import { LIFE_ORIGIN } from '../test/support/batch-life.ts';
import { useBatches } from '../test/support/batches.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { findAuditBreak } from './audit.ts';
import { readCommands, requestCommands } from './command-requests.ts';
import { WOKEN, wakeDue } from './wake-batches.ts';

const world = useBatches();
let tenant: SeededTenant;
beforeEach(async () => {
  tenant = await seedTenant(world.owner);
});

const accept = async (count: number, options: AcceptedOptions = { anchorPolicy: 'REQUIRED' }) =>
  (await acceptProofs(world.test, tenant, count, options)).proofIds;
const one = async (sql: string, values: readonly unknown[] = []) => (await world.owner.query(sql, [...values])).rows[0];

describe('commands', () => {
  it('for one proof are decided one after the other, whatever their order of arrival in one step', async () => {
    const ids = await accept(1);
    const requests = [
      await world.life.request('cancel', ids),
      await world.life.request('cancel', ids),
      await world.life.request('reject', ids),
    ];
    expect(await world.life.apply()).toBe(3);
    const outcomes = await Promise.all(
      requests.map((id) => readCommands(world.test.pool('proofline_api'), id, undefined)),
    );
    expect(outcomes.map((o) => o?.items[0]?.state)).toEqual(['APPLIED', 'REFUSED', 'REFUSED']);
    expect(await world.life.timelineOf(tenant.tenantId, ids[0] as ProofId)).toEqual(['RECEIVED', 'CANCELLED']);
  });

  it('tell a few batches at once, and many in their turn', async () => {
    const batches: BatchId[] = [];
    const ids: ProofId[] = [];
    for (let n = 0; n <= WOKEN + 1; n++) {
      const { batch, proofIds } = await world.formed(tenant, 1);
      await world.seal(batch);
      batches.push(batch);
      ids.push(...proofIds);
    }
    await world.owner.query('DELETE FROM outbox');
    await world.life.command('cancel', ids.slice(0, 1));
    expect(await world.wakes()).toEqual([`batch:${batches[0]}`]);
    await world.life.command('cancel', ids.slice(1));
    expect(await world.wakes()).toHaveLength(1);
    const { rows } = await world.owner.query('SELECT batch_id, name FROM batch_wakes');
    expect(rows.map((row) => row.batch_id).sort()).toEqual(batches.slice(1).sort());
    await wakeDue(world.db, { origin: LIFE_ORIGIN, now: world.life.now() });
    expect(await world.wakes()).toHaveLength(1 + WOKEN);
  });

  it('are written once under one idempotency key, by a hundred at a time too', async () => {
    const [proof] = await accept(1);
    const ask = (hash: number, n: number) =>
      requestCommands(world.test.pool('proofline_api'), {
        id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` as never,
        verb: 'cancel',
        actor: 'key:operator',
        reason: 'twins',
        target: { proofs: [proof as ProofId] },
        idempotencyKey: 'twins',
        bodyHash: Buffer.alloc(32, hash),
        at: world.life.now(),
      });
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, n) => ask(1, n)));
    expect(outcomes.filter((o) => o.outcome === 'created')).toHaveLength(1);
    expect(outcomes.filter((o) => o.outcome === 'replayed')).toHaveLength(99);
    expect((await ask(2, 200)).outcome).toBe('mismatch');
    expect(await one('SELECT count(*)::int AS n FROM proof_commands')).toEqual({ n: 1 });
    expect(await one('SELECT count(*)::int AS n FROM audit')).toEqual({ n: 1 });
    expect(await findAuditBreak(world.owner)).toBeUndefined();
  });

  it('of a filter go a thousand at a time, count honestly, and let a single one pass between', async () => {
    const other = await seedTenant(world.owner);
    await acceptProofs(world.test, other, 1);
    const ids: ProofId[] = [];
    for (let i = 0; i < 4; i++) ids.push(...(await accept(900)));
    await world.life.command('cancel', ids.slice(0, 10));
    const request = await world.life.request('cancel', { tenant: tenant.tenantId, states: ['RECEIVED', 'SEALED'] });
    const late = await accept(1, { anchorPolicy: 'NONE', receivedAt: '2026-02-01T00:00:00.000000Z' });
    const read = async () => (await readCommands(world.test.pool('proofline_api'), request, undefined))?.record;
    expect(await read()).toMatchObject({ matched: 3_590, applied: 0, is_expanded: false });
    // One of them ends before its turn.
    await world.life.command('reject', ids.slice(10, 11));
    expect(await world.life.applyAll()).toEqual([1_000, 1_000, 1_000, 589]);
    expect(await read()).toMatchObject({ matched: 3_590, pending: 0, applied: 3_589, refused: 0, is_expanded: true });
    expect(await world.life.stateOf(late[0] as ProofId)).toBe('RECEIVED');
    expect(
      await one("SELECT count(*)::int AS n FROM proofs WHERE tenant_id = $1 AND state = 'RECEIVED'", [other.tenantId]),
    ).toEqual({ n: 1 });
  });

  it('are shared by two relays at once, each decided once', async () => {
    const ids = await accept(1_500);
    for (let i = 0; i < 15; i++) await world.life.request('cancel', ids.slice(i * 100, (i + 1) * 100));
    const counts = await Promise.all([world.life.apply(), world.life.apply(), world.life.apply()]);
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(1_500);
    expect(await one("SELECT count(*)::int AS n FROM proof_commands WHERE state = 'APPLIED'")).toEqual({ n: 1_500 });
    expect(await one("SELECT count(*)::int AS n FROM proofs WHERE state = 'CANCELLED'")).toEqual({ n: 1_500 });
  });

  it('name no proof of another tenant', async () => {
    const other = await seedTenant(world.owner);
    const { proofIds } = await acceptProofs(world.test, other, 1);
    const result = await requestCommands(world.test.pool('proofline_api'), {
      id: '00000000-0000-4000-8000-000000000001' as never,
      verb: 'cancel',
      actor: 'key:owner',
      tenantId: tenant.tenantId,
      reason: 'not mine',
      target: { proofs: proofIds },
      bodyHash: Buffer.alloc(32),
      at: world.life.now(),
    });
    expect(result).toEqual({ outcome: 'unknown', unknown: proofIds });
    expect((await world.owner.query('SELECT FROM command_requests')).rowCount).toBe(0);
    expect((await world.owner.query('SELECT FROM audit')).rowCount).toBe(0);
  });
});
