import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BatchId, ProofId, SubmissionId, TenantId } from '../domain/ids.ts';
import { type AcceptedOptions, acceptProofs } from '../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import {
  armBatch,
  closeIfDone,
  formBatch,
  lookForJoiners,
  markSealed,
  readOpenBatches,
  restartBatch,
  takeJoiners,
} from './batches.ts';
import { queueForLicence } from './certificates.ts';
import { advanceEvidence, wakeOverdue } from './evidence.ts';
import { ensureLog, integrateLeaves, storeCheckpointNote } from './log.ts';
import { type Db, inTransaction } from './pool.ts';
import {
  type FrozenUpTo,
  failProofs,
  freezeStatements,
  readUnsealed,
  SEAL_CHUNK,
  storeSeals,
  thawUnsealed,
} from './seals.ts';

const ORIGIN = 'log.example/batches';
let tick = 0;
/** Strictly increasing, so that every transaction has an instant of its own. */
const now = (): string => `2026-01-31T09:00:00.${String(++tick).padStart(6, '0')}Z`;

let test: TestDatabase;
let db: Db;
let owner: Db;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  owner = test.pool('proofline_owner');
});
afterAll(() => test.drop());
beforeEach(async () => {
  await owner.query(
    'TRUNCATE tenants, batches, log_head, leaf_queue, leaves, tiles, checkpoints, timestamps, anchors, log_progress, seals, outbox, timeline, events, submission_queue, licence_queue CASCADE',
  );
  await db.query('UPDATE anchor_windows SET needed_index = NULL, closed_at = NULL');
  await inTransaction(db, (tx) => ensureLog(tx, ORIGIN, now()));
  await signHead(0n);
});

async function signHead(size: bigint): Promise<void> {
  const { rows } = await db.query('SELECT root FROM log_head WHERE origin = $1', [ORIGIN]);
  await storeCheckpointNote(db, { origin: ORIGIN, size, root: rows[0].root, note: `note of ${size}`, now: now() });
}

const form = (maxUnsealed = 8) => formBatch(db, { newId: randomUUID, now: now(), maxUnsealed });

async function batches(): Promise<{ id: BatchId; proof_count: number; tenants: string[]; anchor_policy: string }[]> {
  const { rows } = await owner.query(
    'SELECT b.id, b.proof_count, b.anchor_policy, (SELECT array_agg(DISTINCT tenant_id) FROM submissions s WHERE s.batch_id = b.id) AS tenants FROM batches b ORDER BY formed_at',
  );
  return rows;
}

async function formed(
  tenant: SeededTenant,
  count: number,
  options: AcceptedOptions = {},
): Promise<{ batch: BatchId; proofIds: readonly ProofId[] }> {
  const { proofIds } = await acceptProofs(test, tenant, count, options);
  expect(await form()).toMatch(/^formed/);
  return { batch: (await batches()).at(-1)?.id as BatchId, proofIds };
}

async function freeze(batch: BatchId): Promise<void> {
  for (let after: FrozenUpTo | undefined; ; ) {
    ({ after } = await inTransaction(db, (tx) =>
      freezeStatements(tx, { batch, kid: 'seal', version: 1, randomBytes, after }),
    ));
    if (after === undefined) return;
  }
}

async function seal(batch: BatchId): Promise<void> {
  await freeze(batch);
  for (;;) {
    const chunk = await readUnsealed(db, batch, SEAL_CHUNK);
    if (chunk.length === 0) break;
    await storeSeals(db, { batch, seals: chunk.map((u) => ({ ...u, signature: randomBytes(64) })), now: now() });
  }
  await inTransaction(db, (tx) => markSealed(tx, batch, now()));
}

async function integrate(): Promise<bigint> {
  const { head } = await inTransaction(db, (tx) => integrateLeaves(tx, { origin: ORIGIN, now: now() }));
  await signHead(head.size);
  return head.size;
}

const cover = (column: 'timestamped_size' | 'anchored_size', size: bigint) =>
  owner.query(`UPDATE log_progress SET ${column} = $1`, [size.toString()]);
const advance = async () => {
  while (await advanceEvidence(db, { origin: ORIGIN, now: now() }));
};
const states = async (): Promise<Record<string, number>> => {
  const { rows } = await owner.query('SELECT state, count(*)::int AS n FROM proofs GROUP BY state');
  return Object.fromEntries(rows.map((row) => [row.state, row.n]));
};
const wakes = async (): Promise<string[]> =>
  (await owner.query("SELECT workflow_id FROM outbox WHERE kind = 'signal' ORDER BY id")).rows.map(
    (row) => row.workflow_id,
  );
const timelineOf = async (tenant: SeededTenant, proof: ProofId): Promise<string[]> =>
  inTransaction(test.pool('proofline_api'), async (tx) => {
    await tx.query("SELECT set_config('proofline.tenant', $1, true)", [tenant.tenantId]);
    return (await tx.query('SELECT state FROM proof_timeline($1)', [proof])).rows.map((row) => row.state);
  });

describe('formBatch', () => {
  it('gathers the submissions of all tenants that wait in one class', async () => {
    const [a, b] = [await seedTenant(owner), await seedTenant(owner)];
    await acceptProofs(test, a, 3);
    await acceptProofs(test, b, 1);
    expect(await form()).toBe('formed');
    expect(await form()).toBe('nothing');
    expect(await batches()).toMatchObject([{ proof_count: 4, tenants: [a.tenantId, b.tenantId].sort() }]);
    const { rows } = await owner.query('SELECT kind, name, payload FROM outbox');
    expect(rows).toMatchObject([{ kind: 'start', name: 'certifyBatch', payload: { proofCount: 4, generation: 1 } }]);
  });

  it('keeps classes apart and begins with the one that waits longest', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 1, { anchorPolicy: 'REQUIRED', receivedAt: '2026-01-31T08:00:02Z' });
    await acceptProofs(test, a, 1, { anchorPolicy: 'NONE', receivedAt: '2026-01-31T08:00:01Z' });
    await form();
    await form();
    expect((await batches()).map((batch) => batch.anchor_policy)).toEqual(['NONE', 'REQUIRED']);
  });

  it('fills a batch to its capacity and lets a submission above a thousand travel alone', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 900, { receivedAt: '2026-01-31T08:00:01Z' });
    await acceptProofs(test, a, 1_001, { receivedAt: '2026-01-31T08:00:02Z' });
    await acceptProofs(test, a, 900, { receivedAt: '2026-01-31T08:00:03Z' });
    await acceptProofs(test, a, 900, { receivedAt: '2026-01-31T08:00:04Z' });
    expect([await form(), await form(), await form()]).toEqual(['formed', 'formed-lone', 'formed']);
    expect((await batches()).map((batch) => batch.proof_count)).toEqual([1_800, 1_001, 900]);
  });

  it('gives a lone proof a place in the next batch however many another tenant has waiting', async () => {
    const [flood, quiet] = [await seedTenant(owner), await seedTenant(owner)];
    for (let i = 0; i < 6; i++) await acceptProofs(test, flood, 900, { receivedAt: `2026-01-31T08:00:0${i}Z` });
    await acceptProofs(test, quiet, 1, { receivedAt: '2026-01-31T08:00:09Z' });
    await form();
    expect((await batches())[0]?.tenants).toContain(quiet.tenantId);
  });

  it('stops while as many batches as allowed are before their seal', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 1_001);
    await acceptProofs(test, a, 1_001);
    expect(await form(1)).toBe('formed-lone');
    expect(await form(1)).toBe('full');
    await seal((await batches())[0]?.id as BatchId);
    expect(await form(1)).toBe('formed-lone');
  });

  it('seals two large submissions at once and leaves the other places to everybody else', async () => {
    const [flood, quiet] = [await seedTenant(owner), await seedTenant(owner)];
    for (let i = 0; i < 3; i++) await acceptProofs(test, flood, 1_001, { receivedAt: `2026-01-31T08:00:0${i}Z` });
    expect([await form(), await form(), await form()]).toEqual(['formed-lone', 'formed-lone', 'nothing']);
    await acceptProofs(test, quiet, 1, { receivedAt: '2026-01-31T08:00:09Z' });
    expect(await form()).toBe('formed');
    expect((await batches()).map((batch) => batch.proof_count)).toEqual([1_001, 1_001, 1]);
    await seal((await batches())[0]?.id as BatchId);
    expect(await form()).toBe('formed-lone');
    expect((await batches()).at(-1)).toMatchObject({ proof_count: 1_001 });
  });

  it('puts every submission into exactly one batch when many form at once', async () => {
    const a = await seedTenant(owner);
    for (let i = 0; i < 20; i++) await acceptProofs(test, a, 200);
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 6 }, () => form(100)));
    while ((await form(100)) === 'formed');
    const all = await batches();
    expect(all.reduce((sum, batch) => sum + batch.proof_count, 0)).toBe(4_000);
    expect((await owner.query('SELECT FROM submissions WHERE batch_id IS NULL')).rowCount).toBe(0);
  });
});

describe('a batch that others may join', () => {
  const take = (input: { batch: BatchId; now: string }) => inTransaction(db, (tx) => takeJoiners(tx, input));
  const soon = '2026-01-31T08:00:10Z';
  const at = (second: number): string => `2026-01-31T08:00:0${second}Z`;
  const formJoinable = async (): Promise<BatchId> => {
    expect(await formBatch(db, { newId: randomUUID, now: at(0), maxUnsealed: 8, joinableUntil: soon })).toBe('formed');
    return (await batches()).at(-1)?.id as BatchId;
  };
  const submissionsOf = async (batch: BatchId): Promise<number> =>
    (await owner.query('SELECT FROM submissions WHERE batch_id = $1', [batch])).rowCount ?? 0;

  it('takes what comes of its class while its time lasts; the relay leaves that class to it', async () => {
    const [a, b] = [await seedTenant(owner), await seedTenant(owner)];
    await acceptProofs(test, a, 2);
    const batch = await formJoinable();
    await acceptProofs(test, b, 3);
    await acceptProofs(test, a, 1, { anchorPolicy: 'REQUIRED' });
    expect(await formBatch(db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('formed');
    expect((await batches()).at(-1)).toMatchObject({ anchor_policy: 'REQUIRED', proof_count: 1 });
    expect(await formBatch(db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('nothing');
    expect(await take({ batch, now: at(1) })).toHaveLength(1);
    expect(await take({ batch, now: at(1) })).toEqual([]);
    expect((await batches())[0]).toMatchObject({ proof_count: 5, tenants: [a.tenantId, b.tenantId].sort() });
    await acceptProofs(test, b, 1);
    expect(await lookForJoiners(db, { batch, now: at(1) })).toBe('some');
    expect(await lookForJoiners(db, { batch, now: soon })).toBe('shut');
    expect(await take({ batch, now: soon })).toEqual([]);
    expect(await formBatch(db, { newId: randomUUID, now: soon, maxUnsealed: 8 })).toBe('formed');
  });

  it('is shut once it is full, and what waits behind it is formed at once', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 900, { receivedAt: at(0) });
    const batch = await formJoinable();
    for (let i = 1; i < 4; i++) await acceptProofs(test, a, 600, { receivedAt: at(i) });
    expect(await take({ batch, now: at(4) })).toHaveLength(1);
    await acceptProofs(test, a, 500, { receivedAt: at(0) });
    expect(await take({ batch, now: at(4) })).toHaveLength(1);
    expect((await batches())[0]).toMatchObject({ proof_count: 2_000 });
    expect(await lookForJoiners(db, { batch, now: at(4) })).toBe('shut');
    expect(await formBatch(db, { newId: randomUUID, now: at(4), maxUnsealed: 8 })).toBe('formed');
  });

  it('does not keep a submission that travels alone waiting, nor takes it', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 1);
    const batch = await formJoinable();
    await acceptProofs(test, a, 1_001);
    expect(await formBatch(db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })).toBe('formed-lone');
    expect(await submissionsOf(batch)).toBe(1);
  });

  it('gives each submission to one batch when relay and several sealers take at once', async () => {
    const a = await seedTenant(owner);
    await acceptProofs(test, a, 1);
    const first = await formJoinable();
    await owner.query('UPDATE batches SET joinable_until = NULL WHERE id = $1', [first]);
    await acceptProofs(test, a, 1);
    const second = await formJoinable();
    await owner.query('UPDATE batches SET joinable_until = $1', [soon]);
    for (let i = 0; i < 40; i++) await acceptProofs(test, a, 3);
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        i % 3 === 0
          ? formBatch(db, { newId: randomUUID, now: at(1), maxUnsealed: 8 })
          : take({ batch: i % 3 === 1 ? first : second, now: at(1) }),
      ),
    );
    await take({ batch: first, now: at(1) });
    const { rows } = await owner.query(
      'SELECT sum(proof_count)::int AS n, (SELECT count(*)::int FROM proofs p JOIN submissions s ON s.id = p.submission_id WHERE s.batch_id IS NOT NULL) AS members FROM batches',
    );
    expect(rows).toEqual([{ n: 122, members: 122 }]);
  });

  it('tells of each who was sealed when, though the batch grew since', async () => {
    const a = await seedTenant(owner);
    const early = (await acceptProofs(test, a, 2)).proofIds;
    const batch = await formJoinable();
    const sealRound = async (joined?: readonly SubmissionId[]): Promise<void> => {
      await inTransaction(db, (tx) => freezeStatements(tx, { batch, kid: 'seal', version: 1, randomBytes, joined }));
      const chunk = await readUnsealed(db, batch, SEAL_CHUNK);
      const seals = chunk.map((u) => ({ ...u, signature: randomBytes(64) }));
      await storeSeals(db, { batch, seals, now: now(), mayGrow: true });
    };
    await sealRound();
    const late = (await acceptProofs(test, a, 2)).proofIds;
    const joined = await take({ batch, now: at(1) });
    expect(await timelineOf(a, late[0] as ProofId)).toEqual(['RECEIVED']);
    await sealRound(joined);
    for (const id of [...early, ...late]) expect(await timelineOf(a, id)).toEqual(['RECEIVED', 'SEALED']);
  });
});

describe('queueing for a licence', () => {
  it('leaves out who was drafted while it waited for the lock', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 2);
    await seal(batch);
    await owner.query("UPDATE proofs SET state = 'TIMESTAMPED'");
    const drain = await owner.connect();
    await drain.query('BEGIN');
    await drain.query('SELECT FROM proofs WHERE id = $1 FOR UPDATE', [proofIds[0]]);
    const { rows } = await drain.query('SELECT pg_current_xact_id()::text AS xid');
    const queueing = queueForLicence(db, batch, now());
    for (let waits = false; !waits; ) {
      const locks = await owner.query('SELECT FROM pg_locks WHERE NOT granted AND transactionid = $1::text::xid', [
        rows[0].xid,
      ]);
      waits = (locks.rowCount ?? 0) > 0;
    }
    await drain.query(
      `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, payload, timestamp_size, drafted_at)
       VALUES ($1, $2, $3, 'PL-1', 'CERTIFIED_NO_ANCHOR', '{}', 1, now())`,
      [proofIds[0], a.tenantId, batch],
    );
    await drain.query('COMMIT');
    drain.release();
    await queueing;
    const { rows: queued } = await owner.query('SELECT proof_id FROM licence_queue');
    expect(queued.map((row) => row.proof_id)).toEqual([proofIds[1]]);
  });
});

describe('seals', () => {
  it('freezes every member once, in the order of the submission, and queues one leaf each', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 2_500);
    await seal(batch);
    const { rows } = await owner.query('SELECT proof_id FROM seals WHERE batch_id = $1 ORDER BY ordinal', [batch]);
    expect(rows.map((row) => row.proof_id)).toEqual(proofIds);
    expect((await owner.query('SELECT proof_id FROM leaf_queue ORDER BY id')).rows.map((row) => row.proof_id)).toEqual(
      proofIds,
    );
    expect(await states()).toEqual({ SEALED: 2_500 });
    expect(await timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
    expect(await timelineOf(a, proofIds.at(-1) as ProofId)).toEqual(['RECEIVED', 'SEALED']);
  });

  it('keeps the first seal when two attempts store theirs', async () => {
    const a = await seedTenant(owner);
    const { batch } = await formed(a, 5);
    await freeze(batch);
    const chunk = await readUnsealed(db, batch, 10);
    const attempt = (fill: number) =>
      storeSeals(db, { batch, seals: chunk.map((u) => ({ ...u, signature: Buffer.alloc(64, fill) })), now: now() });
    const stored = await Promise.all([attempt(1), attempt(2)]);
    expect(stored.sort()).toEqual([0, 5]);
    expect((await owner.query('SELECT DISTINCT signature FROM seals')).rowCount).toBe(1);
    expect((await owner.query('SELECT FROM leaf_queue')).rowCount).toBe(5);
    expect((await owner.query('SELECT leaves_pending FROM batches')).rows[0].leaves_pending).toBe(5);
  });

  it('freezes thawed statements again under the next version and leaves sealed ones alone', async () => {
    const a = await seedTenant(owner);
    const { batch } = await formed(a, 3);
    await freeze(batch);
    const [first] = await readUnsealed(db, batch, 1);
    if (first === undefined) throw new Error('nothing frozen');
    await storeSeals(db, { batch, seals: [{ ...first, signature: randomBytes(64) }], now: now() });
    expect(await thawUnsealed(db, batch)).toBe(2);
    await inTransaction(db, (tx) => freezeStatements(tx, { batch, kid: 'seal', version: 2, randomBytes }));
    const { rows } = await owner.query('SELECT version FROM seals ORDER BY version');
    expect(rows.map((row) => row.version)).toEqual([1, 2, 2]);
  });

  it('fails one proof for good while the others go on', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 3);
    await freeze(batch);
    const failure = { proofId: proofIds[1] as ProofId, code: 'SIGNER_REFUSED' as const, detail: 'not this one' };
    expect(await failProofs(db, { batch, failures: [failure], stage: 'SEALED', now: now() })).toBe(1);
    expect(await readUnsealed(db, batch, 10)).toHaveLength(2);
    await seal(batch);
    expect(await states()).toEqual({ SEALED: 2, FAILED: 1 });
    expect(await timelineOf(a, proofIds[1] as ProofId)).toEqual(['RECEIVED', 'FAILED']);
    expect(await timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
  });
});

describe('advanceEvidence', () => {
  it('moves what a timestamp covers and wakes each batch once', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 2_300);
    await seal(batch);
    await cover('timestamped_size', await integrate());
    await advance();
    await advance();
    expect(await states()).toEqual({ TIMESTAMPED: 2_300 });
    expect(await wakes()).toEqual([`batch:${batch}`]);
    for (const proof of [proofIds[0], proofIds[2_100]])
      expect(await timelineOf(a, proof as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED']);
  });

  it('applies an anchor only after the timestamp, however they arrive', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 2, { anchorPolicy: 'REQUIRED' });
    await seal(batch);
    const size = await integrate();
    await cover('anchored_size', size);
    await advance();
    expect(await states()).toEqual({ SEALED: 2 });
    await cover('timestamped_size', size);
    await advance();
    expect(await states()).toEqual({ ANCHORED: 2 });
    expect(await wakes()).toEqual([`batch:${batch}`]);
    expect(await timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED']);
  });

  it('wakes a batch exactly once when timestamp, anchor and the batch itself look at the same moment', async () => {
    const a = await seedTenant(owner);
    for (let round = 0; round < 5; round++) {
      const { batch } = await formed(a, 3, { anchorPolicy: 'REQUIRED' });
      await seal(batch);
      const size = await integrate();
      await owner.query('DELETE FROM outbox');
      const [, , , arm] = await Promise.all([
        cover('timestamped_size', size).then(advance),
        cover('anchored_size', size).then(advance),
        advance(),
        inTransaction(db, (tx) => armBatch(tx, batch, ORIGIN, now())),
      ]);
      await advance();
      const woken = (await wakes()).length;
      expect(woken + (arm.complete ? 1 : 0)).toBeGreaterThanOrEqual(1);
      expect(woken).toBeLessThanOrEqual(1);
    }
  });

  it('notes an anchor that comes after the end without changing the state', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 2);
    await seal(batch);
    const size = await integrate();
    await cover('timestamped_size', size);
    await advance();
    await owner.query("UPDATE proofs SET state = 'CERTIFIED_NO_ANCHOR'");
    await cover('anchored_size', size);
    await advance();
    expect(await states()).toEqual({ CERTIFIED_NO_ANCHOR: 2 });
    expect(await timelineOf(a, proofIds[0] as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED']);
    expect((await owner.query("SELECT FROM events WHERE type = 'proof.anchored'")).rowCount).toBe(1);
  });

  it('passes over a proof that was cancelled after its seal', async () => {
    const a = await seedTenant(owner);
    const { batch, proofIds } = await formed(a, 3);
    await seal(batch);
    await owner.query("UPDATE proofs SET state = 'CANCELLED' WHERE id = $1", [proofIds[1]]);
    await cover('timestamped_size', await integrate());
    await advance();
    expect(await states()).toEqual({ TIMESTAMPED: 2, CANCELLED: 1 });
    expect(await timelineOf(a, proofIds[1] as ProofId)).toEqual(['RECEIVED', 'SEALED']);
    expect(await timelineOf(a, proofIds[2] as ProofId)).toEqual(['RECEIVED', 'SEALED', 'TIMESTAMPED']);
  });

  it('wakes a PREFERRED batch at its deadline, and lets it certify without the anchor', async () => {
    const a = await seedTenant(owner);
    const { batch } = await formed(a, 2, { anchorPolicy: 'PREFERRED', anchorDeadline: '2026-01-31T09:30:00.000000Z' });
    await seal(batch);
    await cover('timestamped_size', await integrate());
    await advance();
    expect(await wakeOverdue(db, { origin: ORIGIN, now: '2026-01-31T09:29:59.000000Z' })).toBe(0);
    expect(await queueForLicence(db, batch, '2026-01-31T09:29:59.000000Z')).toEqual([]);
    expect(await wakeOverdue(db, { origin: ORIGIN, now: '2026-01-31T09:30:00.000000Z' })).toBe(1);
    expect(await wakeOverdue(db, { origin: ORIGIN, now: '2026-01-31T09:30:01.000000Z' })).toBe(0);
    expect(await queueForLicence(db, batch, '2026-01-31T09:30:00.000000Z')).toEqual([a.tenantId satisfies TenantId]);
  });
});

describe('the end of a batch', () => {
  it('stays open while anything is left and closes when nothing is', async () => {
    const a = await seedTenant(owner);
    const { batch } = await formed(a, 2);
    await seal(batch);
    const close = () => inTransaction(db, (tx) => closeIfDone(tx, batch, now()));
    expect(await close()).toEqual({ awaitingEvidence: 2, awaitingLicence: 0, unsigned: 0 });
    await owner.query("UPDATE proofs SET state = 'CERTIFIED'");
    expect(await close()).toEqual({ awaitingEvidence: 0, awaitingLicence: 0, unsigned: 0 });
    expect((await owner.query('SELECT state FROM batches')).rows[0].state).toBe('CLOSED');
  });

  it('is started again under the next generation by one of two reconcilers', async () => {
    const a = await seedTenant(owner);
    await formed(a, 2);
    await owner.query('DELETE FROM outbox');
    const [open] = await readOpenBatches(db, '2027-01-01T00:00:00Z', undefined, 10);
    if (open === undefined) throw new Error('no open batch');
    const outcomes = await Promise.all([restartBatch(db, open, now()), restartBatch(db, open, now())]);
    expect(outcomes.sort()).toEqual(['no-longer-open', 'restarted']);
    expect((await owner.query('SELECT workflow_id FROM outbox')).rows).toEqual([
      { workflow_id: `batch:${open.batchId}:2` },
    ]);
  });
});
