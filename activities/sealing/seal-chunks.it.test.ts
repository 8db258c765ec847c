import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import type { BatchId } from '../../domain/ids.ts';
import { rotateKey } from '../../local/signer/admin.ts';
import { formBatch } from '../../store/form-batch.ts';
import { ensureLog } from '../../store/log.ts';
import { createPool, type Db, inTransaction } from '../../store/pool.ts';
import { type FrozenUpTo, freezeStatements, SEAL_CHUNK, thawUnsealed } from '../../store/seals.ts';
import { changes, createCrashingDb } from '../../test/motion/crashing-db.ts';
import { acceptProofs } from '../../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../../test/support/seed.ts';
import { useSigner } from '../../test/support/signing.ts';
import { until } from '../../test/support/until.ts';
import { type GivingLane, type GivingLanes, OPEN_LANES } from './giving-lane.ts';
import { createSealing } from './seal-batch.ts';

const clock = systemClock();
const signing = useSigner();
/** Of a submission that travels alone, and so goes through the lane `large`. */
const CHUNKS = 5;
const PROOFS = (CHUNKS - 1) * SEAL_CHUNK + 50;

let test: TestDatabase;
let db: Db;
let owner: Db;
let tenant: SeededTenant;
let batchId: string;

beforeAll(async () => {
  test = await createTestDatabase();
  [db, owner] = [test.pool('proofline_worker'), test.pool('proofline_owner')];
  await inTransaction(db, (tx) => ensureLog(tx, 'o', clock.nowMicros()));
});
afterAll(async () => {
  await test.drop();
});
beforeEach(async () => {
  signing.server.setFaults([]);
  await owner.query(
    'TRUNCATE tenants, batches, submissions, submission_queue, proofs, seals, leaf_queue, timeline, outbox CASCADE',
  );
  tenant = await seedTenant(owner);
  await acceptProofs(test, tenant, PROOFS);
  expect(await formBatch(db, { newId: randomUUID, now: clock.nowMicros(), maxUnsealed: 8 })).toBe('large');
  batchId = (await owner.query('SELECT id FROM batches')).rows[0].id;
});

const seal = (over: { readonly db?: Db; readonly lanes?: GivingLanes } = {}) =>
  createSealing({
    db,
    signer: signing.signer,
    clock,
    origin: 'o',
    randomBytes,
    heartbeat: () => undefined,
    ...over,
  }).sealBatch({
    batchId,
  });

/** A lane in which something happens before the n-th step, counted from 1. */
function laneWith(happens: Readonly<Record<number, () => unknown>>): GivingLane & { readonly taken: () => number } {
  let taken = 0;
  return {
    taken: () => taken,
    async step(work) {
      await happens[++taken]?.();
      return work();
    },
  };
}

interface Statement {
  readonly ordinal: number;
  readonly version: number;
  readonly statement: string;
  readonly isSealed: boolean;
  readonly state: string;
}

/** In the order of the batch, which is that of the submission. */
async function statements(): Promise<readonly Statement[]> {
  const { rows } = await owner.query(
    `SELECT s.ordinal, s.version, s.statement, s.signature IS NOT NULL AS "isSealed", p.state FROM seals s JOIN proofs p ON p.id = s.proof_id
     ORDER BY s.ordinal`,
  );
  return rows;
}

async function leafCount(): Promise<number> {
  const { rows } = await owner.query(
    `SELECT count(*)::int AS n, count(DISTINCT l.proof_id)::int AS proofs, max(b.leaves_pending) AS pending FROM leaf_queue l, batches b`,
  );
  expect(rows[0]).toMatchObject({ proofs: rows[0].n, pending: rows[0].n });
  return rows[0].n;
}

/** The steps of a proof as the API reads them. */
const timelineOf = (of: SeededTenant, proof: string): Promise<readonly string[]> =>
  inTransaction(test.pool('proofline_api'), async (tx) => {
    await tx.query("SELECT set_config('proofline.tenant', $1, true)", [of.tenantId]);
    return (await tx.query('SELECT state FROM proof_timeline($1)', [proof])).rows.map((row) => row.state);
  });

describe('a batch of several chunks', () => {
  it('goes through the lane with one step a chunk and one at each end, in the order of its submission', async () => {
    const lane = laneWith({});
    expect(await seal({ lanes: { ...OPEN_LANES, large: lane } })).toMatchObject({
      proofCount: PROOFS,
      sealed: PROOFS,
      failed: 0,
    });
    const { rows } = await owner.query(
      'SELECT p.ordinal FROM seals s JOIN proofs p ON p.id = s.proof_id ORDER BY s.ordinal',
    );
    expect(rows.map((row) => row.ordinal)).toEqual(Array.from({ length: PROOFS }, (_, n) => n));
    expect(await leafCount()).toBe(PROOFS);
    // The last chunk is stored in a step of its own; then somebody looks whether anything stayed frozen.
    expect(lane.taken()).toBe(CHUNKS + 2);
  });

  it.each([
    { frozen: 1, sealed: 0 },
    { frozen: 2, sealed: 0 },
    { frozen: 3, sealed: 1 },
    { frozen: CHUNKS, sealed: CHUNKS - 2 },
  ])(
    'is sealed by the next attempt after a crash with $frozen chunks frozen and $sealed sealed',
    async ({ frozen, sealed }) => {
      const pool = createPool({
        url: test.url('proofline_worker'),
        max: 4,
        applicationName: 'crashing',
        onError: () => {},
      });
      const crashing = createCrashingDb(pool);
      const freezes = changes('seals', '!leaf_queue');
      let seen = 0;
      crashing.arm((tables) => freezes(tables) && ++seen === frozen);
      await expect(seal({ db: crashing.db })).rejects.toThrow('the process is dead');
      await pool.end();
      const left = await statements();
      expect(left).toHaveLength(Math.min(frozen * SEAL_CHUNK, PROOFS));
      expect(left.filter((one) => one.isSealed)).toHaveLength(sealed * SEAL_CHUNK);

      expect(await seal()).toMatchObject({ sealed: PROOFS - sealed * SEAL_CHUNK, failed: 0 });
      const all = await statements();
      expect(all.map((one) => one.ordinal)).toEqual(Array.from({ length: PROOFS }, (_, n) => n));
      expect(all.every((one) => one.isSealed && one.state === 'SEALED')).toBe(true);
      // What was frozen is not written again.
      expect(all.slice(0, left.length).map((one) => one.statement)).toEqual(left.map((one) => one.statement));
      expect(await leafCount()).toBe(PROOFS);
    },
  );

  it('loses the one value that the signer refuses in the midst of it, and no other', async () => {
    const refuse = () =>
      signing.server.setFaults([{ at: 'sign', kid: 'seal', effect: 'value-refused', index: 7, times: 1 }]);
    expect(await seal({ lanes: { ...OPEN_LANES, large: laneWith({ 3: refuse }) } })).toMatchObject({
      sealed: PROOFS - 1,
      failed: 1,
    });
    const unsealed = (await statements()).filter((one) => !one.isSealed);
    expect(unsealed).toMatchObject([{ ordinal: 2 * SEAL_CHUNK + 7, state: 'FAILED' }]);
    expect(await leafCount()).toBe(PROOFS - 1);
  });

  it('keeps what is signed when the signer goes away, and ends when it is back', async () => {
    const leave = () => signing.server.setFaults([{ at: 'sign', kid: 'seal', effect: 'unavailable' }]);
    await expect(seal({ lanes: { ...OPEN_LANES, large: laneWith({ 3: leave }) } })).rejects.toMatchObject({
      code: 'SIGNER_UNAVAILABLE',
    });
    expect((await statements()).map((one) => one.isSealed)).toEqual([
      ...Array(2 * SEAL_CHUNK).fill(true),
      ...Array(SEAL_CHUNK).fill(false),
    ]);
    signing.server.setFaults([]);
    expect(await seal()).toMatchObject({ sealed: PROOFS - 2 * SEAL_CHUNK });
    expect(await leafCount()).toBe(PROOFS);
  });

  it('is ended by twins, each seal kept once', async () => {
    const [one, other] = await Promise.all([seal(), seal()]);
    expect(one.sealed + other.sealed).toBe(PROOFS);
    expect((await statements()).every((each) => each.isSealed)).toBe(true);
    expect(await leafCount()).toBe(PROOFS);
  });

  it('is not said to be sealed while a member has no seal: a twin may thaw what was just found frozen, and die', async () => {
    for (let after: FrozenUpTo | undefined, isFrozen = false; !isFrozen; isFrozen = after === undefined)
      ({ after } = await inTransaction(db, (tx) =>
        freezeStatements(tx, { batch: batchId as BatchId, kid: 'seal', version: 1, randomBytes, after }),
      ));
    const thaw = () => thawUnsealed(db, batchId as BatchId);
    await expect(seal({ lanes: { ...OPEN_LANES, large: laneWith({ 2: thaw }) } })).rejects.toThrow('without a seal');
    expect((await owner.query('SELECT state FROM batches')).rows).toEqual([{ state: 'FORMED' }]);
    expect(await seal()).toMatchObject({ sealed: PROOFS, failed: 0 });
    expect((await owner.query('SELECT state FROM batches')).rows).toEqual([{ state: 'SEALED' }]);
  });

  it('tells each tenant of each proof once, whichever chunks they are in', async () => {
    const receivedAt = (n: number) => `2026-01-31T08:00:00.00000${n}Z`;
    const guest = await seedTenant(owner);
    const accept = async (n: number, of: SeededTenant, count: number) =>
      (await acceptProofs(test, of, count, { receivedAt: receivedAt(n) })).proofIds;
    const ids = [...(await accept(1, guest, 15)), ...(await accept(2, tenant, 700)), ...(await accept(3, guest, 1))];
    await owner.query("UPDATE batches SET state = 'CLOSED'");
    expect(await formBatch(db, { newId: randomUUID, now: clock.nowMicros(), maxUnsealed: 8 })).toBe('crowd');
    batchId = (await owner.query("SELECT id FROM batches WHERE state = 'FORMED'")).rows[0].id;
    expect(await seal()).toMatchObject({ sealed: 716 });
    for (const [of, proof] of [
      [guest, ids.at(0)],
      [guest, ids.at(-1)],
      [tenant, ids.at(15)],
      [tenant, ids.at(350)],
      [tenant, ids.at(-2)],
    ] as const)
      expect(await timelineOf(of, proof as string)).toEqual(['RECEIVED', 'SEALED']);
  });

  // The last: the key has another version from here on.
  it('is frozen anew, as far as it is not signed, when its key version ends in the midst of it', async () => {
    const rotate = async () => {
      const { version } = await rotateKey(signing.dir, 'seal', clock, { overlapMs: 0 });
      await until(
        () => signing.signer.key('seal'),
        (key) => key.primaryVersion === version,
      );
    };
    expect(await seal({ lanes: { ...OPEN_LANES, large: laneWith({ 3: rotate }) } })).toMatchObject({
      sealed: PROOFS,
      failed: 0,
    });
    const all = await statements();
    expect(all.every((one) => one.isSealed)).toBe(true);
    expect(all.map((one) => one.version)).toEqual([
      ...Array(2 * SEAL_CHUNK).fill(1),
      ...Array(PROOFS - 2 * SEAL_CHUNK).fill(2),
    ]);
    expect(await leafCount()).toBe(PROOFS);
  });
});
