import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import type { BatchId } from '../../domain/ids.ts';
import { DRAIN_CHUNK } from '../../store/drain-licences.ts';
import { insertGrant } from '../../store/licences.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { baseGrant } from '../../test/support/grants.ts';
import { coverLeaves, seedQueuedProofs } from '../../test/support/queued-proofs.ts';
import { type SeededTenant, seedTenant } from '../../test/support/seed.ts';
import { useSigner } from '../../test/support/signing.ts';
import { createCertification } from './certify-proofs.ts';

const clock = systemClock();
const signing = useSigner({ timeoutMs: 20_000 });
const OTHERS = DRAIN_CHUNK * 2 + 100;
const EARLY = '2026-01-31T07:00:00.000000Z';
const LATE = '2026-01-31T08:30:00.000000Z';

let test: TestDatabase;
let [db, owner]: Db[] = [];
let [busy, quiet]: SeededTenant[] = [];

beforeAll(async () => {
  test = await createTestDatabase();
  [db, owner] = [test.pool('proofline_worker'), test.pool('proofline_owner')];
});
afterAll(async () => {
  await test.drop();
});
beforeEach(async () => {
  await pool(owner).query(
    'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, outbox, timeline, events, licence_queue, licence_consumptions, licence_unit_usage, certificates CASCADE',
  );
  // Tenants are served by id: the busy one first.
  [busy, quiet] = [await seedTenant(pool(owner)), await seedTenant(pool(owner))].sort((a, b) =>
    a.tenantId < b.tenantId ? -1 : 1,
  );
  for (const { tenantId } of [tenant(busy), tenant(quiet)]) {
    const file = { hash: randomUUID().replaceAll('-', '').repeat(2), jws: '', by: 'test', now: clock.nowMicros() };
    await inTransaction(pool(db), (tx) => insertGrant(tx, baseGrant(tenantId), file));
  }
});

function pool(of: Db | undefined): Db {
  if (of === undefined) throw new Error('no database yet');
  return of;
}
function tenant(of: SeededTenant | undefined): SeededTenant {
  if (of === undefined) throw new Error('no tenant yet');
  return of;
}

/** A batch with one proof of each tenant, and other batches' proofs of the busy one; certified, and what was there at the first signature. */
async function certifyBeside(receivedAt: string) {
  const batchId = randomUUID() as string as BatchId;
  const mine = [
    ...(await seedQueuedProofs(pool(owner), 1, { ...tenant(busy), batchId, receivedAt })).proofIds,
    ...(await seedQueuedProofs(pool(owner), 1, { ...tenant(quiet), batchId, receivedAt })).proofIds,
  ];
  await seedQueuedProofs(pool(owner), OTHERS, tenant(busy));
  await coverLeaves(pool(owner), { origin: 'o' });
  const drafted = async (): Promise<number> =>
    (await pool(owner).query('SELECT count(*)::int AS n FROM certificates')).rows[0].n;
  const atSignature: number[] = [];
  const { certifyProofs } = createCertification({
    db: pool(db),
    signer: {
      ...signing.signer,
      sign: async (request) => {
        atSignature.push(await drafted());
        return signing.signer.sign(request);
      },
    },
    clock,
    origin: 'o',
    publicUrl: 'https://p.example',
    heartbeat: () => undefined,
  });
  const result = await certifyProofs({ batchId });
  const { rows } = await pool(owner).query('SELECT state FROM proofs WHERE id = ANY ($1::uuid[])', [mine]);
  return { result, states: rows.map(({ state }) => state), atSignature, drafted: await drafted() };
}

const DONE = {
  result: { closed: true, awaitingEvidence: 0, awaitingLicence: 0, complete: false },
  states: ['CERTIFIED_NO_ANCHOR', 'CERTIFIED_NO_ANCHOR'],
};

describe('a batch of several tenants', () => {
  it('signs what it can while one of them has thousands of older proofs of other batches', async () => {
    const done = await certifyBeside(LATE);
    expect(done).toMatchObject(DONE);
    // One transaction of the busy tenant, then the one proof of the other.
    expect(done.atSignature[0]).toBe(DRAIN_CHUNK + 1);
    expect(done.atSignature).toHaveLength(2);
  });

  it('leaves to other batches what is theirs once its own members are served', async () => {
    const done = await certifyBeside(EARLY);
    expect(done).toMatchObject({ ...DONE, drafted: DRAIN_CHUNK + 1, atSignature: [DRAIN_CHUNK + 1] });
    const { rows } = await pool(owner).query('SELECT count(*)::int AS n FROM licence_queue');
    expect(rows[0].n).toBe(OTHERS - DRAIN_CHUNK + 1);
  });
});

describe('a batch that cannot be certified', () => {
  it.each([
    ['by a cause of its own, leaves its place to others that are to be woken', 'refused', false],
    ['since the signer is away, keeps it: the others would find the same', 'unavailable', true],
  ] as const)('%s', async (_, effect, keeps) => {
    const { batchId } = await seedQueuedProofs(pool(owner), 1, tenant(busy));
    await coverLeaves(pool(owner), { origin: 'o' });
    await pool(owner).query('UPDATE batches SET is_woken = true');
    signing.server.setFaults([{ at: 'sign', kid: 'certificate', effect }]);
    const { signer } = signing;
    const { certifyProofs } = createCertification({
      db: pool(db),
      signer,
      clock,
      origin: 'o',
      publicUrl: 'https://p.example',
      heartbeat: () => undefined,
    });
    await expect(certifyProofs({ batchId })).rejects.toMatchObject({ code: `SIGNER_${effect.toUpperCase()}` });
    expect((await pool(owner).query('SELECT is_woken FROM batches')).rows).toEqual([{ is_woken: keeps }]);
    signing.server.setFaults([]);
    expect(await certifyProofs({ batchId })).toMatchObject({ closed: true });
    expect((await pool(owner).query('SELECT is_woken FROM batches')).rows).toEqual([{ is_woken: false }]);
  });
});
