import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ProofId, SubmissionId } from '../domain/ids.ts';
import { listen } from '../store/listen.ts';
import type { Db } from '../store/pool.ts';
import { readRing, ringDone } from '../store/ring-done.ts';
import { acceptProofs } from '../test/support/accepted.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type SeededTenant, seedTenant } from '../test/support/seed.ts';
import { until } from '../test/support/until.ts';
import { createWaiters, type Waiters, type WaitFor } from './waiters.ts';

const LONG_MS = 60_000;
const stays = new AbortController().signal;
let database: TestDatabase;
let db: Db;
let worker: Db;
let tenant: SeededTenant;
let other: SeededTenant;
let waiters: Waiters;
let errors: unknown[];
/** Connections given back: each is one question answered. */
let answered = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.pool('proofline_api');
  worker = database.pool('proofline_worker');
  db.on('release', () => answered++);
  [tenant, other] = await Promise.all([seedTenant(worker), seedTenant(worker)]);
});
beforeEach(() => {
  answered = 0;
  errors = [];
  waiters = createWaiters(db, (error) => errors.push(error), LONG_MS);
});
afterEach(() => waiters.stop());
afterAll(() => database.drop());

const accept = async (count: number): Promise<{ submission: SubmissionId; ids: readonly ProofId[] }> => {
  const { submissionId, proofIds } = await acceptProofs(database, tenant, count);
  return { submission: submissionId, ids: proofIds };
};
/** Without a ring. */
const end = (ids: readonly ProofId[]): Promise<unknown> =>
  worker.query("UPDATE proofs SET state = 'CANCELLED' WHERE id = ANY ($1::uuid[])", [ids]);
const wait = (target: WaitFor): Promise<void> => waiters.wait(target, LONG_MS, stays);
const proof = (id: ProofId | undefined, of = tenant): WaitFor => ({
  kind: 'proof',
  id: id as ProofId,
  tenant: of.tenantId,
});
/** Two waiters of one proof each, both asked for once and not ended then, both ended since without a ring. */
const endUnheard = async (): Promise<{ ids: readonly ProofId[]; first: Promise<void>; second: Promise<void> }> => {
  const { ids } = await accept(2);
  const [first, second] = [wait(proof(ids[0])), wait(proof(ids[1]))];
  await until(
    () => answered,
    (n) => n > 0,
  );
  await end(ids);
  return { ids, first, second };
};

describe('waiting for an end', () => {
  it('asks for whom a ring names and for nobody else', async () => {
    const { ids, first, second } = await endUnheard();
    waiters.wake([ids[0] as ProofId, '00000000-0000-4000-8000-000000000000']);
    await first;
    expect(waiters.size).toBe(1);
    waiters.wake([ids[1] as ProofId]);
    await second;
    expect({ size: waiters.size, errors }).toEqual({ size: 0, errors: [] });
  });

  it('asks for nobody where a ring names none of those who wait', async () => {
    const { ids, first, second } = await endUnheard();
    const before = answered;
    waiters.wake(['00000000-0000-4000-8000-000000000000']);
    waiters.wake([ids[0] as ProofId]);
    await first;
    expect(answered - before).toBe(1);
    waiters.wake();
    await second;
  });

  it('asks for everybody at a ring that names nobody', async () => {
    const { first, second } = await endUnheard();
    waiters.wake();
    await Promise.all([first, second]);
    expect(waiters.size).toBe(0);
  });

  it('asks for everybody after a while, though nothing rang', async () => {
    waiters = createWaiters(db, (error) => errors.push(error), 500);
    const { first, second } = await endUnheard();
    await Promise.all([first, second]);
    expect(waiters.size).toBe(0);
  });

  it('finds without a ring what ended before it was waited for', async () => {
    const { submission, ids } = await accept(2);
    await end(ids);
    await Promise.all([wait(proof(ids[0])), wait({ kind: 'submission', id: submission, tenant: tenant.tenantId })]);
    expect(waiters.size).toBe(0);
  });

  it('releases nobody whose rows do not say that it ended, nor another tenant that names it', async () => {
    const { ids } = await accept(2);
    const going = wait(proof(ids[0]));
    const foreign = wait(proof(ids[1], other));
    await end([ids[1] as ProofId]);
    // One question a tenant.
    await until(
      () => answered,
      (n) => n >= 2,
    );
    waiters.wake(ids);
    await until(
      () => answered,
      (n) => n >= 4,
    );
    expect(waiters.size).toBe(2);
    waiters.stop();
    await Promise.all([going, foreign]);
  });

  it('asks again, without another ring, for whom the store did not answer', async () => {
    const { ids, first, second } = await endUnheard();
    const owner = database.pool('proofline_owner');
    await owner.query('ALTER TABLE proofs RENAME TO proofs_away');
    waiters.wake(ids);
    await until(
      () => errors.length,
      (n) => n > 0,
    );
    expect(waiters.size).toBe(2);
    await owner.query('ALTER TABLE proofs_away RENAME TO proofs');
    await Promise.all([first, second]);
  });

  it('knows a submission by its own id and a PDF by that of its proof', async () => {
    const { submission, ids } = await accept(1);
    const id = ids[0] as ProofId;
    await worker.query(
      "INSERT INTO certificate_pdfs (proof_id, level, tenant_id, requested_at, due_at) VALUES ($1, 'B-T', $2, now(), now())",
      [id, tenant.tenantId],
    );
    const whole = wait({ kind: 'submission', id: submission, tenant: tenant.tenantId });
    const pdf = wait({ kind: 'pdf', id: `${id}/B-T`, tenant: tenant.tenantId });
    await until(
      () => answered,
      (n) => n > 0,
    );
    await worker.query(
      "INSERT INTO pdf_files (sha256, tenant_id, bytes, created_at) VALUES (sha256('x'), $1, 'x', now())",
      [tenant.tenantId],
    );
    await worker.query(
      "UPDATE certificate_pdfs SET sha256 = sha256('x'), size = 1, stored_at = now() WHERE proof_id = $1",
      [id],
    );
    await end(ids);
    waiters.wake([id]);
    await pdf;
    expect(waiters.size).toBe(1);
    waiters.wake([submission]);
    await whole;
  });

  it('hears at commit of all that ended, however many, and after a new connection of what ended without it', async () => {
    const { ids } = await accept(450);
    let begun = 0;
    const listening = listen(db, ['proofline_done'], (_channel, payload) => {
      begun++;
      waiters.wake(readRing(payload));
    });
    await until(
      () => begun,
      (n) => n === 1,
    );
    const waiting = ids.map((id) => wait(proof(id)));
    // The listener keeps its connection: whatever is given back was a question.
    await until(
      () => answered,
      (n) => n > 0,
    );
    await end(ids.slice(0, 440));
    await ringDone(worker, ids.slice(0, 440));
    await Promise.all(waiting.slice(0, 440));
    expect(waiters.size).toBe(10);
    await end(ids.slice(440));
    await db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND usename = current_user AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()`,
    );
    await Promise.all(waiting.slice(440));
    await listening.stop();
  });
});
