import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { BatchId, ProofId, SubmissionId } from '../domain/ids.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { useBatches } from '../test/support/batches.ts';
import { seedTenant } from '../test/support/seed.ts';
import { lookForJoiners, takeJoiners } from './batch-joiners.ts';
import { formBatch } from './form-batch.ts';
import { inTransaction } from './pool.ts';
import { freezeStatements, readUnsealed, SEAL_CHUNK, storeSeals } from './seals.ts';

const world = useBatches();

describe('a batch that others may join', () => {
  const take = (input: { batch: BatchId; now: string }) => inTransaction(world.db, (tx) => takeJoiners(tx, input));
  const soon = '2026-01-31T08:00:10Z';
  const at = (second: number): string => `2026-01-31T08:00:0${second}Z`;
  const formJoinable = async (): Promise<BatchId> => {
    const joinableUntil = { prompt: soon, crowd: soon };
    const formed = await formBatch(world.db, { newId: randomUUID, now: at(0), maxUnsealed: 8, joinableUntil });
    expect(['prompt', 'crowd']).toContain(formed);
    return (await world.all()).at(-1)?.id as BatchId;
  };
  const submissionsOf = async (batch: BatchId): Promise<number> =>
    (await world.owner.query('SELECT FROM submissions WHERE batch_id = $1', [batch])).rowCount ?? 0;

  it('takes what comes of its class while its time lasts; the relay leaves that class to it', async () => {
    const [a, b] = [await seedTenant(world.owner), await seedTenant(world.owner)];
    await acceptProofs(world.test, a, 2);
    const batch = await formJoinable();
    await acceptProofs(world.test, b, 3);
    await acceptProofs(world.test, a, 1, { anchorPolicy: 'REQUIRED' });
    expect(await formBatch(world.db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('prompt');
    expect((await world.all()).at(-1)).toMatchObject({ anchor_policy: 'REQUIRED', proof_count: 1 });
    expect(await formBatch(world.db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('nothing');
    expect(await take({ batch, now: at(1) })).toHaveLength(1);
    expect(await take({ batch, now: at(1) })).toEqual([]);
    expect((await world.all())[0]).toMatchObject({ proof_count: 5, tenants: [a.tenantId, b.tenantId].sort() });
    await acceptProofs(world.test, b, 1);
    expect(await lookForJoiners(world.db, { batch, now: at(1) })).toBe('some');
    expect(await lookForJoiners(world.db, { batch, now: soon })).toBe('shut');
    expect(await take({ batch, now: soon })).toEqual([]);
    expect(await formBatch(world.db, { newId: randomUUID, now: soon, maxUnsealed: 8 })).toBe('prompt');
  });

  it('is shut once it is full, and what waits behind it is formed at once', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 900, { receivedAt: at(0) });
    const batch = await formJoinable();
    for (let i = 1; i < 4; i++) await acceptProofs(world.test, a, 600, { receivedAt: at(i) });
    expect(await take({ batch, now: at(4) })).toHaveLength(1);
    await acceptProofs(world.test, a, 500, { receivedAt: at(0) });
    expect(await take({ batch, now: at(4) })).toHaveLength(1);
    expect((await world.all())[0]).toMatchObject({ proof_count: 2_000 });
    expect(await lookForJoiners(world.db, { batch, now: at(4) })).toBe('shut');
    expect(await formBatch(world.db, { newId: randomUUID, now: at(4), maxUnsealed: 8 })).toBe('crowd');
  });

  it('does not keep a submission that travels alone waiting, nor takes it', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 1);
    const batch = await formJoinable();
    await acceptProofs(world.test, a, 1_001);
    expect(await lookForJoiners(world.db, { batch, now: at(1) })).toBe('none');
    expect(await formBatch(world.db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('large');
    expect(await submissionsOf(batch)).toBe(1);
  });

  it('gives each submission to one batch when relay and several sealers take at once', async () => {
    const a = await seedTenant(world.owner);
    await acceptProofs(world.test, a, 1);
    const first = await formJoinable();
    await world.owner.query('UPDATE batches SET joinable_until = NULL WHERE id = $1', [first]);
    await acceptProofs(world.test, a, 1);
    const second = await formJoinable();
    await world.owner.query('UPDATE batches SET joinable_until = $1', [soon]);
    for (let i = 0; i < 20; i++) await acceptProofs(world.test, await seedTenant(world.owner), 6);
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        i % 3 === 0
          ? formBatch(world.db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })
          : take({ batch: i % 3 === 1 ? first : second, now: at(1) }),
      ),
    );
    await take({ batch: first, now: at(1) });
    const { rows } = await world.owner.query(
      'SELECT sum(proof_count)::int AS n, (SELECT count(*)::int FROM proofs p JOIN submissions s ON s.id = p.submission_id WHERE s.batch_id IS NOT NULL) AS members FROM batches',
    );
    expect(rows).toEqual([{ n: 122, members: 122 }]);
  });

  it('tells of each who was sealed when, though the batch grew since', async () => {
    const a = await seedTenant(world.owner);
    const early = (await acceptProofs(world.test, a, 2)).proofIds;
    const batch = await formJoinable();
    const sealRound = async (joined?: readonly SubmissionId[]): Promise<void> => {
      await inTransaction(world.db, (tx) =>
        freezeStatements(tx, { batch, kid: 'seal', version: 1, randomBytes, joined }),
      );
      const chunk = await readUnsealed(world.db, batch, SEAL_CHUNK);
      const seals = chunk.map((u) => ({ ...u, signature: randomBytes(64) }));
      await storeSeals(world.db, { batch, seals, now: world.now(), mayGrow: true });
    };
    await sealRound();
    const late = (await acceptProofs(world.test, a, 2)).proofIds;
    const joined = await take({ batch, now: at(1) });
    expect(await world.timelineOf(a, late[0] as ProofId)).toEqual(['RECEIVED']);
    await sealRound(joined);
    for (const id of [...early, ...late]) expect(await world.timelineOf(a, id)).toEqual(['RECEIVED', 'SEALED']);
  });
});
