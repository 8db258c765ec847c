import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ALLOWED, COMMAND_VERBS } from '../domain/commands.ts';
import type { BatchId, ProofId } from '../domain/ids.ts';
import { type ProofState, STATES } from '../domain/states.ts';
import { type AcceptedOptions, acceptProofs } from '../test/support/accepted.ts';
import { type BatchLife, createBatchLife } from '../test/support/batch-life.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { findAuditBreak } from './audit.ts';
import { readOpenBatches } from './batches.ts';
import type { Db } from './pool.ts';
import { readUnsealed, storeSeals } from './seals.ts';

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
});

const accept = async (count: number, options: AcceptedOptions = { anchorPolicy: 'REQUIRED' }) =>
  (await acceptProofs(test, tenant, count, options)).proofIds;
const one = async (sql: string, values: readonly unknown[] = []) => (await owner.query(sql, [...values])).rows[0];
const signals = async (): Promise<string[]> =>
  (await owner.query("SELECT workflow_id FROM outbox WHERE name = 'commandsApplied' ORDER BY id")).rows.map(
    (row) => row.workflow_id,
  );

/** A batch of `count` sealed, timestamped proofs under REQUIRED. */
async function timestamped(count: number): Promise<{ batch: BatchId; ids: readonly ProofId[] }> {
  const ids = await accept(count);
  const batch = await life.formed();
  await life.seal(batch);
  await life.integrate();
  await life.cover('timestamp');
  await life.advance();
  return { batch, ids };
}

/** One proof in each state, by the steps that lead there. */
async function inEveryState(): Promise<Record<ProofState, ProofId>> {
  const { batch, ids } = await timestamped(8);
  const [timestampedOne, anchored, awaiting, certified, bare, failed, rejected, cancelled] = ids as ProofId[];
  const set = (id: ProofId | undefined, state: ProofState) =>
    owner.query('UPDATE proofs SET state = $2 WHERE id = $1', [id, state]);
  await set(anchored, 'ANCHORED');
  await set(certified, 'CERTIFIED');
  await set(bare, 'CERTIFIED_NO_ANCHOR');
  await owner.query(
    `UPDATE proofs SET state = 'FAILED', failure = '{"stage":"ANCHORED","code":"LEDGER_REJECTED"}' WHERE id = $1`,
    [failed],
  );
  await set(rejected, 'REJECTED');
  await set(cancelled, 'CANCELLED');
  await set(awaiting, 'AWAITING_LICENSE');
  await owner.query(
    'INSERT INTO licence_queue (tenant_id, received_at, proof_id, org_unit_id, batch_id, awaiting) SELECT tenant_id, received_at, id, org_unit_id, $2, true FROM proofs WHERE id = $1',
    [awaiting, batch],
  );
  const [sealed] = await accept(1);
  await life.seal(await life.formed());
  const [received] = await accept(1);
  return {
    RECEIVED: received,
    SEALED: sealed,
    TIMESTAMPED: timestampedOne,
    ANCHORED: anchored,
    AWAITING_LICENSE: awaiting,
    CERTIFIED: certified,
    CERTIFIED_NO_ANCHOR: bare,
    FAILED: failed,
    REJECTED: rejected,
    CANCELLED: cancelled,
  } as Record<ProofState, ProofId>;
}

describe.each(COMMAND_VERBS)('%s', (verb) => {
  it('is applied or refused as the table says, with timeline and event or with neither', async () => {
    const proofs = await inEveryState();
    const events = async (): Promise<number> => (await one('SELECT count(*)::int AS n FROM events')).n;
    for (const state of STATES) {
      const proof = proofs[state];
      const before = { steps: await life.timelineOf(tenant.tenantId, proof), events: await events() };
      const [item] = await life.command(verb, [proof]);
      const after = await life.stateOf(proof);
      const steps = await life.timelineOf(tenant.tenantId, proof);
      if (ALLOWED[verb][state] !== true) {
        expect({ state, item: item?.state, after, steps }).toEqual({
          state,
          item: 'REFUSED',
          after: state,
          steps: before.steps,
        });
        expect(item?.detail).toBe(`the proof is ${state}: ${ALLOWED[verb][state]}`);
        expect(await events()).toBe(before.events);
        continue;
      }
      expect({ state, item: item?.state }).toEqual({ state, item: 'APPLIED' });
      const expected = {
        cancel: 'CANCELLED',
        reject: 'REJECTED',
        retry: 'TIMESTAMPED',
        'certify-without-anchor': 'TIMESTAMPED',
      };
      expect(after).toBe(expected[verb]);
      expect(steps.at(-1)).toBe(verb === 'certify-without-anchor' ? '(TIMESTAMPED)' : after);
      expect(await events()).toBe(before.events + (verb === 'certify-without-anchor' ? 0 : 1));
    }
    expect((await owner.query("SELECT FROM proof_commands WHERE state = 'PENDING'")).rowCount).toBe(0);
    if (verb === 'cancel' || verb === 'reject')
      expect((await owner.query('SELECT FROM licence_queue')).rowCount).toBe(0);
    expect(await findAuditBreak(owner)).toBeUndefined();
  });
});

describe('a cancellation', () => {
  it('before any batch keeps the proof out of it, and the batch closes', async () => {
    const ids = await accept(3);
    await life.command('cancel', ids.slice(0, 2));
    expect(await signals()).toEqual([]);
    const batch = await life.formed();
    await life.seal(batch);
    expect((await owner.query('SELECT proof_id FROM seals')).rows).toEqual([{ proof_id: ids[2] }]);
    await life.command('cancel', ids.slice(2));
    expect(await signals()).toEqual([`batch:${batch}`]);
    expect(await life.certify(batch)).toBe(true);
    expect(await one('SELECT state FROM batches')).toEqual({ state: 'CLOSED' });
    expect(await life.timelineOf(tenant.tenantId, ids[0] as ProofId)).toEqual(['RECEIVED', 'CANCELLED']);
    expect(await life.timelineOf(tenant.tenantId, ids[2] as ProofId)).toEqual(['RECEIVED', 'SEALED', 'CANCELLED']);
  });

  it('of every member before the seal lets the batch pass its seal and close', async () => {
    const ids = await accept(2);
    const batch = await life.formed();
    await life.freeze(batch);
    await life.command('cancel', ids);
    await life.seal(batch);
    expect(await life.certify(batch)).toBe(true);
    expect((await owner.query('SELECT FROM leaf_queue')).rowCount).toBe(0);
  });

  it('after the seal keeps the leaf, and later evidence passes over the proof', async () => {
    const { ids } = await timestamped(2);
    await life.command('cancel', ids.slice(0, 1));
    await life.cover('anchor');
    await life.advance();
    expect(await life.stateOf(ids[0] as ProofId)).toBe('CANCELLED');
    expect(await life.stateOf(ids[1] as ProofId)).toBe('ANCHORED');
    expect((await owner.query('SELECT FROM leaves')).rowCount).toBe(2);
  });

  it('of those who waited for a licence wakes their batch, which closes', async () => {
    const { batch, ids } = await timestamped(2);
    await life.cover('anchor');
    await life.advance();
    expect(await life.certify(batch)).toBe(false);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('AWAITING_LICENSE');
    await owner.query('DELETE FROM outbox');
    await life.command('cancel', ids);
    expect(await signals()).toEqual([`batch:${batch}`]);
    expect(await life.certify(batch)).toBe(true);
  });
});

describe('a rejection', () => {
  it('leaves its reason on the proof', async () => {
    const ids = await accept(1);
    await life.command('reject', ids);
    expect((await one('SELECT failure FROM proofs')).failure).toMatchObject({
      stage: 'RECEIVED',
      code: 'REJECTED_BY_OPERATOR',
      detail: 'asked by "the" client \u2028 é',
    });
  });
});

describe('a release', () => {
  it('certifies a timestamped proof under REQUIRED without its anchor; the others wait for theirs', async () => {
    const { batch, ids } = await timestamped(2);
    await life.grant(tenant.tenantId, 10);
    expect(await life.certify(batch)).toBe(false);
    await life.command('certify-without-anchor', ids.slice(0, 1));
    expect(await signals()).toEqual([`batch:${batch}`]);
    expect(await life.certify(batch)).toBe(false);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('CERTIFIED_NO_ANCHOR');
    await life.cover('anchor');
    await life.advance();
    expect(await life.certify(batch)).toBe(true);
    expect(await life.stateOf(ids[1] as ProofId)).toBe('CERTIFIED');
    expect(await life.timelineOf(tenant.tenantId, ids[0] as ProofId)).toEqual([
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      '(TIMESTAMPED)',
      'CERTIFIED_NO_ANCHOR',
      '(ANCHORED)',
    ]);
  });

  it('holds for a proof that then waits for its licence', async () => {
    const { batch, ids } = await timestamped(1);
    await life.command('certify-without-anchor', ids);
    await life.certify(batch);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('AWAITING_LICENSE');
    await life.grant(tenant.tenantId, 1);
    expect(await life.certify(batch)).toBe(true);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('CERTIFIED_NO_ANCHOR');
  });
});

describe('a retry', () => {
  /** Two proofs, the first refused by the signer. */
  async function failedAtSeal(): Promise<{ batch: BatchId; ids: readonly ProofId[] }> {
    const ids = await accept(2, { anchorPolicy: 'NONE' });
    const batch = await life.formed();
    await life.freeze(batch);
    await life.fail(batch, ids[0] as ProofId);
    await life.seal(batch);
    return { batch, ids };
  }
  const toTheEnd = async (batch: BatchId): Promise<boolean> => {
    await life.integrate();
    await life.cover('timestamp');
    await life.advance();
    return life.certify(batch);
  };

  it('of a seal takes a new batch, which freezes, seals and certifies it; its life stays whole', async () => {
    await life.grant(tenant.tenantId, 10);
    const { batch, ids } = await failedAtSeal();
    expect(await toTheEnd(batch)).toBe(true);
    await life.command('retry', ids.slice(0, 1));
    expect(await signals()).toEqual([]);
    const next = await life.formed();
    expect(await one('SELECT proof_count, of_retries FROM batches WHERE id = $1', [next])).toEqual({
      proof_count: 1,
      of_retries: true,
    });
    const [open] = await readOpenBatches(test.pool('proofline_worker'), {
      who: 'moving',
      before: '2027-01-01T00:00:00Z',
      limit: 10,
    });
    expect(open).toBeUndefined(); // Its start is still in the outbox.
    await life.seal(next);
    expect(await toTheEnd(next)).toBe(true);
    for (const id of ids) expect(await life.stateOf(id)).toBe('CERTIFIED_NO_ANCHOR');
    expect(await life.timelineOf(tenant.tenantId, ids[0] as ProofId)).toEqual([
      'RECEIVED',
      'FAILED',
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'CERTIFIED_NO_ANCHOR',
    ]);
    expect(await life.timelineOf(tenant.tenantId, ids[1] as ProofId)).toEqual([
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'CERTIFIED_NO_ANCHOR',
    ]);
    expect((await owner.query('SELECT FROM leaves')).rowCount).toBe(2);
  });

  it('leaves a batch that is still sealing: its late attempt neither freezes nor seals the proof again', async () => {
    const ids = await accept(2, { anchorPolicy: 'NONE' });
    const batch = await life.formed();
    await life.freeze(batch);
    const db = test.pool('proofline_worker');
    const late = await readUnsealed(db, batch, 10);
    await life.fail(batch, ids[0] as ProofId);
    await life.command('retry', ids.slice(0, 1));
    await life.freeze(batch);
    expect((await owner.query('SELECT FROM seals')).rowCount).toBe(1);
    const next = await life.formed();
    await life.freeze(next);
    const seals = late.map((u) => ({ ...u, signature: Buffer.alloc(64, 1) }));
    expect(await storeSeals(db, { batch, seals, now: life.now() })).toBe(1);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('RECEIVED');
    await life.seal(next);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('SEALED');
    expect((await owner.query('SELECT batch_id FROM leaf_queue WHERE proof_id = $1', [ids[0]])).rows).toEqual([
      { batch_id: next },
    ]);
  });

  it('that fails again may be retried again, and cancelled while it waits for its batch', async () => {
    const { batch, ids } = await failedAtSeal();
    await toTheEnd(batch);
    const failed = ids.slice(0, 1);
    await life.command('retry', failed);
    const second = await life.formed();
    await life.freeze(second);
    await life.fail(second, failed[0] as ProofId);
    await life.seal(second);
    expect(await life.certify(second)).toBe(true);
    await life.command('retry', failed);
    await life.command('cancel', failed);
    expect(await life.form()).toBe('nothing');
    expect(await life.timelineOf(tenant.tenantId, failed[0] as ProofId)).toEqual([
      'RECEIVED',
      'FAILED',
      'RECEIVED',
      'FAILED',
      'RECEIVED',
      'CANCELLED',
    ]);
  });

  it('of a sealed proof stays in its open batch and takes up the evidence that came meanwhile', async () => {
    const { batch, ids } = await timestamped(2);
    await life.fail(batch, ids[0] as ProofId, 'TIMESTAMPED');
    await life.cover('anchor');
    await life.advance();
    await owner.query('DELETE FROM outbox');
    await life.command('retry', ids.slice(0, 1));
    expect(await life.stateOf(ids[0] as ProofId)).toBe('ANCHORED');
    expect(await signals()).toEqual([`batch:${batch}`]);
    await life.grant(tenant.tenantId, 10);
    expect(await life.certify(batch)).toBe(true);
    expect(await life.stateOf(ids[0] as ProofId)).toBe('CERTIFIED');
  });

  it('of a sealed proof of a closed batch joins a new one at its stage, with the leaf that it has', async () => {
    const { batch, ids } = await timestamped(2);
    await life.grant(tenant.tenantId, 10);
    await life.fail(batch, ids[0] as ProofId, 'ANCHORED');
    await life.command('cancel', ids.slice(1));
    expect(await life.certify(batch)).toBe(true);
    await life.command('retry', ids.slice(0, 1));
    const next = await life.formed();
    await life.seal(next);
    expect(await life.certify(next)).toBe(false);
    await owner.query('DELETE FROM outbox');
    await life.cover('anchor');
    await life.advance();
    expect((await owner.query('SELECT name, workflow_id FROM outbox')).rows).toContainEqual({
      name: 'evidenceComplete',
      workflow_id: `batch:${next}`,
    });
    expect(await life.certify(next)).toBe(true);
    expect((await owner.query('SELECT FROM leaves')).rowCount).toBe(2);
    expect(await life.timelineOf(tenant.tenantId, ids[0] as ProofId)).toEqual([
      'RECEIVED',
      'SEALED',
      'TIMESTAMPED',
      'FAILED',
      'TIMESTAMPED',
      'ANCHORED',
      'CERTIFIED',
    ]);
  });

  it('of many holds one place before the seal and delays no other batch', async () => {
    const ids = await accept(2_001, { anchorPolicy: 'NONE' });
    const batch = await life.formed();
    await owner.query(`UPDATE proofs SET state = 'FAILED', failure = '{"stage":"SEALED"}'`);
    await life.seal(batch);
    await life.certify(batch);
    for (let i = 0; i < ids.length; i += 1_000) await life.command('retry', ids.slice(i, i + 1_000));
    await accept(1, { anchorPolicy: 'NONE' });
    const retried = await life.formed();
    const lone = await life.formed();
    expect(await life.form()).toBe('nothing');
    await life.seal(retried);
    const rest = await life.formed();
    const { rows } = await owner.query(
      'SELECT id, proof_count, of_retries FROM batches WHERE id = ANY ($1) ORDER BY formed_at',
      [[retried, lone, rest]],
    );
    expect(rows.map((row) => [row.proof_count, row.of_retries])).toEqual([
      [2_000, true],
      [1, false],
      [1, true],
    ]);
  });
});
