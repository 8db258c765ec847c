import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CommandVerb } from '../domain/commands.ts';
import type { BatchId, ProofId } from '../domain/ids.ts';
import type { AnchorPolicy } from '../domain/states.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { type BatchLife, createBatchLife } from '../test/support/batch-life.ts';
import { checkLives } from '../test/support/check-lives.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import type { Db } from './pool.ts';

const ROUNDS = 6;
const PROOFS = 40;

let test: TestDatabase;
let owner: Db;
let life: BatchLife;
let tenant: SeededTenant;

beforeAll(async () => {
  test = await createTestDatabase();
  owner = test.pool('proofline_owner');
  life = createBatchLife(test);
});
afterAll(() => test.drop());
beforeEach(async () => {
  await life.reset();
  tenant = await seedTenant(owner);
  await life.grant(tenant.tenantId, 1_000_000);
});

async function batchOf(anchorPolicy: AnchorPolicy): Promise<{ batch: BatchId; ids: readonly ProofId[] }> {
  const { proofIds } = await acceptProofs(test, tenant, PROOFS, { anchorPolicy });
  return { batch: await life.formed(), ids: proofIds };
}

async function stampAll(batch: BatchId): Promise<void> {
  await life.seal(batch);
  await life.integrate();
  await life.cover('timestamp');
  await life.advance();
}

/** Each proof's command as a request of its own, so that the race is lost and won proof by proof. */
async function requestEach(verb: CommandVerb, ids: readonly ProofId[]): Promise<void> {
  for (let i = 0; i < ids.length; i += 4) await life.request(verb, ids.slice(i, i + 4));
}

/** The batch on to its end, whatever the race left. */
async function finish(batch: BatchId): Promise<void> {
  await life.applyAll();
  for (let turn = 0; turn < 3; turn++) {
    await life.integrate();
    await life.cover('timestamp');
    await life.cover('anchor');
    await life.advance();
    if (await life.certify(batch)) return;
  }
  throw new Error(`batch ${batch} does not close`);
}

/** What must hold after every race; how many proofs have come to which end. */
const checkInvariants = (): Promise<Record<string, number>> => checkLives(test, life, tenant.tenantId);
const total = (ends: Record<string, number>): number => Object.values(ends).reduce((sum, n) => sum + n, 0);

describe.each(['cancel', 'reject'] as const)('%s', (verb) => {
  it('and the seal are decided proof by proof', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('NONE');
      await life.freeze(batch);
      await requestEach(verb, ids.slice(0, PROOFS / 2));
      await Promise.all([life.seal(batch), life.apply(), life.apply()]);
      await finish(batch);
    }
    const ends = await checkInvariants();
    expect(total(ends)).toBe(ROUNDS * PROOFS);
    expect(ends.CERTIFIED_NO_ANCHOR ?? ends.CERTIFIED).toBeGreaterThanOrEqual((ROUNDS * PROOFS) / 2);
  });

  it('and the anchor are decided proof by proof', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('REQUIRED');
      await stampAll(batch);
      await requestEach(verb, ids.slice(0, PROOFS / 2));
      await life.cover('anchor');
      await Promise.all([life.advance(), life.apply(), life.advance(), life.apply()]);
      await finish(batch);
    }
    const ends = await checkInvariants();
    expect(ends).toEqual({
      CERTIFIED: (ROUNDS * PROOFS) / 2,
      [verb === 'cancel' ? 'CANCELLED' : 'REJECTED']: (ROUNDS * PROOFS) / 2,
    });
  });

  it('and the draft are decided proof by proof: who has a draft is certified, who has none is not', async () => {
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('NONE');
      await stampAll(batch);
      await requestEach(verb, ids);
      // The first rounds give the drain a start of one turn, so that either side wins some.
      await Promise.all([
        life.draft(batch),
        round % 2 === 0 ? life.apply() : life.draft(batch).then(() => life.apply()),
      ]);
      await finish(batch);
      refused = (await owner.query("SELECT count(*)::int AS n FROM proof_commands WHERE state = 'REFUSED'")).rows[0].n;
    }
    const ends = await checkInvariants();
    expect(total(ends)).toBe(ROUNDS * PROOFS);
    expect(refused).toBe(ends.CERTIFIED_NO_ANCHOR ?? 0);
  });
});

describe('a release', () => {
  it('and the anchor are decided proof by proof: certified as what its evidence says', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('REQUIRED');
      await stampAll(batch);
      await requestEach('certify-without-anchor', ids);
      await Promise.all([
        life.apply().then(() => life.certify(batch)),
        life.cover('anchor').then(() => life.advance()),
        life.certify(batch),
      ]);
      await finish(batch);
    }
    expect(total(await checkInvariants())).toBe(ROUNDS * PROOFS);
    const { rows } = await owner.query(
      'SELECT final_state, anchor_size IS NULL AS bare, count(*)::int AS n FROM certificates GROUP BY 1, 2',
    );
    for (const row of rows) expect(row.bare).toBe(row.final_state === 'CERTIFIED_NO_ANCHOR');
  });

  it('and a cancellation of the same proofs are decided one after the other', async () => {
    const { batch, ids } = await batchOf('REQUIRED');
    await stampAll(batch);
    await requestEach('certify-without-anchor', ids);
    await requestEach('cancel', ids);
    await Promise.all([life.apply(), life.apply(), life.draft(batch), life.certify(batch)]);
    await finish(batch);
    expect(total(await checkInvariants())).toBe(PROOFS);
  });
});

describe('a retry', () => {
  it('and the evidence, and the end of its batch, miss nothing', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('REQUIRED');
      await stampAll(batch);
      const failed = ids.slice(0, PROOFS / 2);
      for (const id of failed) await life.fail(batch, id, 'ANCHORED');
      await requestEach('retry', failed);
      await life.cover('anchor');
      await Promise.all([
        life.apply(),
        life.advance().then(() => life.certify(batch)),
        life.apply().then(() => life.advance()),
      ]);
      await life.applyAll();
      await life.certify(batch);
      // Whoever found the batch closed joined another.
      while ((await life.form()) !== 'nothing') {
        const { rows } = await owner.query("SELECT id FROM batches WHERE state = 'FORMED'");
        for (const { id } of rows) {
          await life.seal(id);
          await finish(id);
        }
      }
    }
    expect((await owner.query("SELECT FROM proofs WHERE state <> 'CERTIFIED'")).rowCount).toBe(0);
    expect((await owner.query("SELECT FROM batches WHERE state <> 'CLOSED'")).rowCount).toBe(0);
    expect((await owner.query('SELECT FROM retry_queue')).rowCount).toBe(0);
  });

  it('and a cancellation while its new batch forms leave it in one place', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { batch, ids } = await batchOf('NONE');
      await life.freeze(batch);
      for (const id of ids) await life.fail(batch, id);
      await life.seal(batch);
      await life.certify(batch);
      await life.command('retry', ids);
      await requestEach('cancel', ids.slice(0, PROOFS / 2));
      await Promise.all([life.form(), life.apply(), life.form(), life.apply()]);
      await life.applyAll();
      while ((await life.form()) !== 'nothing');
      for (const { id } of (await owner.query("SELECT id FROM batches WHERE state = 'FORMED'")).rows) {
        await life.seal(id);
        await finish(id);
      }
    }
    const { rows } = await owner.query('SELECT state, count(*)::int AS n FROM proofs GROUP BY state ORDER BY state');
    expect(rows.find((row) => row.state === 'CANCELLED')?.n).toBe((ROUNDS * PROOFS) / 2);
    expect(rows.reduce((sum, row) => sum + row.n, 0)).toBe(ROUNDS * PROOFS);
    expect(rows.every((row) => ['CANCELLED', 'CERTIFIED', 'CERTIFIED_NO_ANCHOR'].includes(row.state))).toBe(true);
  });
});
