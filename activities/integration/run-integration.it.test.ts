import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import fc from 'fast-check';
import { systemClock } from '../../domain/clock.ts';
import { rotateKey } from '../../local/signer/admin.ts';
import { verifyCheckpoint } from '../../log/checkpoint.ts';
import { createNoteKey, type NoteKey } from '../../log/note.ts';
import { hashLeaf, rootOfLeaves, verifyConsistency, verifyInclusion } from '../../log/tree.ts';
import { countAlarms } from '../../store/alarms.ts';
import { readConsistencyProof, readInclusionPaths, readLatestCheckpoint } from '../../store/log.read.ts';
import { ensureLog, integrateLeaves } from '../../store/log.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../test/support/database.ts';
import { useSigner } from '../../test/support/signing.ts';
import { until } from '../../test/support/until.ts';
import { createIntegration } from './integrate-log.ts';
import {
  type IntegrationControl,
  type IntegrationDeps,
  type IntegrationReport,
  integrateOnce,
  runIntegration,
} from './run-integration.ts';

const clock = systemClock();
const signing = useSigner();
const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
const BATCH = uuid(1);

let logKey: Uint8Array;
let test: TestDatabase;
let db: Db;
let origin: string;
let enqueued: number;
let logs = 0;
let key: NoteKey;

beforeAll(async () => {
  logKey = Uint8Array.from(Buffer.from((await signing.signer.key('log')).versions[0]?.jwk?.x ?? '', 'base64url'));
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
});
afterAll(async () => {
  await test.drop();
});
beforeEach(() => startLog());
afterEach(async () => {
  await Promise.allSettled(running.splice(0).map((one) => one.stop()));
  signing.server.setFaults([]);
});

/** A new, empty log under a new name: the signer remembers the old ones. */
async function startLog(): Promise<void> {
  await test
    .pool('proofline_owner')
    .query(
      'TRUNCATE log_head, leaf_queue, leaves, tiles, checkpoints, timestamps, anchors, anchor_attempts, log_progress, outbox, batches, submissions CASCADE',
    );
  await db.query('UPDATE anchor_windows SET needed_index = NULL, closed_at = NULL');
  await db.query(
    "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at, state) VALUES ($1, 'REQUIRED', 'express', 1, now(), 'SEALED')",
    [BATCH],
  );
  origin = `log.example/${++logs}`;
  key = createNoteKey(origin, logKey);
  enqueued = 0;
}

/** Queues leaves whose data is `mark` and their number, as sealing does. */
async function enqueue(count: number, mark = 0): Promise<void> {
  const numbers = Array.from({ length: count }, () => enqueued++);
  await inTransaction(db, async (tx) => {
    await tx.query('UPDATE batches SET leaves_pending = leaves_pending + $2 WHERE id = $1', [BATCH, count]);
    await tx.query(
      'INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf) SELECT u.id, $2, $2, u.leaf FROM unnest($1::uuid[], $3::bytea[]) AS u (id, leaf)',
      [numbers.map((n) => uuid(100 + n)), BATCH, numbers.map((n) => leafOf(n, mark))],
    );
    await tx.query("SELECT pg_notify('proofline_leaf', '')");
  });
}

function leafOf(n: number, mark: number): Buffer {
  const leaf = Buffer.alloc(32, mark);
  leaf.writeUInt32BE(n, 28);
  return leaf;
}

const depsOf = (extra: Partial<IntegrationDeps> = {}): IntegrationDeps => ({
  db,
  signer: signing.signer,
  origin,
  clock,
  logger: { info: () => {}, warn: () => {} },
  checkpointIntervalMs: 20,
  ...extra,
});

interface Run {
  readonly stop: () => Promise<IntegrationReport>;
  readonly done: Promise<IntegrationReport>;
}

const running: Run[] = [];

/** An integrator beside the test; stopped after it at the latest. */
function run(extra: Partial<IntegrationDeps> = {}, control: Partial<IntegrationControl> = {}): Run {
  const abort = new AbortController();
  const done = runIntegration(depsOf(extra), { signal: abort.signal, heartbeat: () => {}, ...control });
  done.catch(() => undefined);
  const one: Run = {
    done,
    stop() {
      abort.abort();
      return done;
    },
  };
  running.push(one);
  return one;
}

/** Waits until the published log has `size` leaves. */
async function untilPublished(size: number): Promise<void> {
  await until(
    async () => (await readLatestCheckpoint(db, origin))?.size,
    (published) => published === BigInt(size),
    15_000,
  );
}

/** Judges the published log as a stranger would: signatures, roots, consistency, every leaf. Returns its checkpoints. */
async function checkLog(): Promise<bigint[]> {
  const { rows: leaves } = await db.query<{ leaf: Buffer }>('SELECT leaf FROM leaves ORDER BY index');
  const hashes = leaves.map(({ leaf }) => hashLeaf(leaf));
  const { rows } = await db.query<{ size: bigint; root: Buffer; note: string }>(
    'SELECT size, root, note FROM checkpoints WHERE origin = $1 ORDER BY size',
    [origin],
  );
  for (const [i, { size, root, note }] of rows.entries()) {
    const verdict = await verifyCheckpoint(note, [key], origin);
    expect(verdict).toMatchObject({ valid: true, checkpoint: { size } });
    expect(Buffer.from(rootOfLeaves(hashes.slice(0, Number(size)))).equals(root)).toBe(true);
    const before = rows[i - 1];
    if (before === undefined) continue;
    const proof = await readConsistencyProof(db, before.size, size);
    expect(
      verifyConsistency({ first: before.size, firstRoot: before.root, second: size, secondRoot: root, proof }),
    ).toBe(true);
  }
  const last = rows.at(-1);
  if (last !== undefined && last.size > 0n) {
    const indexes = hashes.slice(0, Number(last.size)).map((_, i) => BigInt(i));
    const paths = await readInclusionPaths(db, indexes, last.size);
    expect(
      paths.findIndex(
        (path, i) =>
          !verifyInclusion({
            leafHash: hashes[i] as Uint8Array,
            index: BigInt(i),
            size: last.size,
            path,
            root: last.root,
          }),
      ),
    ).toBe(-1);
  }
  return rows.map(({ size }) => size);
}

describe('the integrator', () => {
  it('publishes the empty tree at first, then each group of leaves, signed and consistent', async () => {
    const integrator = run();
    await untilPublished(0);
    for (const count of [1, 300, 2]) {
      await enqueue(count);
      await untilPublished(enqueued);
    }
    expect(await integrator.stop()).toEqual({ size: '303', leaves: 303, checkpoints: 4 });
    expect(await checkLog()).toEqual([0n, 1n, 301n, 303n]);
  });

  it('keeps one log when three run at once under load', async () => {
    const integrators = [run(), run(), run()];
    for (let i = 0; i < 20; i++) await Promise.all([enqueue(7), enqueue(30)]);
    await untilPublished(740);
    const reports = await Promise.all(integrators.map((integrator) => integrator.stop()));
    expect(reports.reduce((sum, { leaves }) => sum + leaves, 0)).toBe(740);
    expect((await checkLog()).at(-1)).toBe(740n);
    expect((await db.query('SELECT leaves_pending, max_leaf_index FROM batches')).rows).toEqual([
      { leaves_pending: 0, max_leaf_index: 739n },
    ]);
  });

  it('signs the head that a crash left unsigned before it takes new leaves', async () => {
    await integrateOnce(await prepared(), new AbortController().signal);
    await enqueue(3);
    // The process dies after this commit.
    await inTransaction(db, (tx) => integrateLeaves(tx, { origin, now: clock.nowMicros() }));
    await enqueue(2);
    const integrator = run();
    await untilPublished(5);
    await integrator.stop();
    expect(await checkLog()).toEqual([0n, 3n, 5n]);
  });

  it('goes on after the signer signed and its answer was lost', async () => {
    signing.server.setFaults([{ at: 'sign', kid: 'log', effect: 'done-but-lost', times: 3 }]);
    await enqueue(4);
    const integrator = run();
    await untilPublished(4);
    await integrator.stop();
    expect((await checkLog()).at(-1)).toBe(4n);
  });

  it('never stores a signature that does not verify', async () => {
    signing.server.setFaults([{ at: 'sign', kid: 'log', effect: 'wrong-signature', times: 2 }]);
    await enqueue(4);
    const integrator = run();
    await untilPublished(4);
    await integrator.stop();
    await checkLog();
  });

  it('shows a lasting outage of the signer in its heartbeat, then by its code', async () => {
    signing.server.setFaults([{ at: 'sign', kid: 'log', effect: 'unavailable' }]);
    const beats: unknown[] = [];
    await expect(run({}, { heartbeat: (details) => beats.push(details) }).done).rejects.toMatchObject({
      code: 'SIGNER_UNAVAILABLE',
    });
    expect(beats).toContainEqual({ size: '0', failing: 'SIGNER_UNAVAILABLE' });
  });

  it('stops at once when cancelled, even while the signer hangs', async () => {
    signing.server.setFaults([{ at: 'sign', kid: 'log', effect: 'hang' }]);
    const integrator = run();
    await until(
      async () => (await db.query('SELECT FROM log_head WHERE origin = $1', [origin])).rowCount,
      (heads) => heads === 1,
    );
    const startedMs = performance.now();
    expect(await integrator.stop()).toMatchObject({ checkpoints: 0 });
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it('is woken by the queue long before its next look', async () => {
    const first = run();
    await untilPublished(0);
    await first.stop();
    const integrator = run({ checkpointIntervalMs: 600_000 });
    await enqueue(1);
    await untilPublished(1);
    await integrator.stop();
  });

  it('gives a verifiable log whatever the order of enqueuing, integrating, losing answers and dying', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('enqueue' as const), count: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ kind: fc.constant('integrate' as const), limit: fc.integer({ min: 1, max: 300 }) }),
      fc.record({ kind: fc.constant('die-unsigned' as const), limit: fc.integer({ min: 1, max: 300 }) }),
      fc.record({ kind: fc.constant('lose-answer' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), async (steps) => {
        await startLog();
        const deps = await prepared();
        const { signal } = new AbortController();
        for (const s of steps) {
          if (s.kind === 'enqueue') await enqueue(s.count);
          else if (s.kind === 'integrate')
            await Promise.all([
              integrateOnce({ ...deps, limit: s.limit }, signal),
              integrateOnce({ ...deps, limit: s.limit }, signal),
            ]);
          else if (s.kind === 'die-unsigned')
            await inTransaction(db, (tx) => integrateLeaves(tx, { origin, now: clock.nowMicros(), limit: s.limit }));
          else {
            signing.server.setFaults([{ at: 'sign', kid: 'log', effect: 'done-but-lost', times: 2 }]);
            await integrateOnce(deps, signal).catch(() => undefined);
            signing.server.setFaults([]);
          }
        }
        while ((await readLatestCheckpoint(db, origin))?.size !== BigInt(enqueued)) await integrateOnce(deps, signal);
        await checkLog();
      }),
      { numRuns: 15 },
    );
  }, 120_000);
});

describe('a rollback', () => {
  async function publishLeaves(count: number): Promise<void> {
    await enqueue(count);
    const integrator = run();
    await untilPublished(enqueued);
    await integrator.stop();
  }

  /** An old dump takes the place of the database; the signer keeps its memory. */
  async function restoreEmpty(): Promise<void> {
    const name = origin;
    await startLog();
    origin = name;
    key = createNoteKey(origin, logKey);
  }

  it('of the whole database is seen by the signer’s memory and stops the log', async () => {
    await publishLeaves(5);
    await restoreEmpty();
    await expect(run().done).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
    expect((await db.query('SELECT FROM checkpoints')).rowCount).toBe(0);
  });

  it('raises one alarm however often the loop starts again, which ends when the log goes on', async () => {
    const open = async () =>
      (
        await db.query('SELECT kind, subject, detail FROM alarms WHERE subject = $1 AND ended_at IS NULL', [
          `log:${origin}`,
        ])
      ).rows;
    await publishLeaves(5);
    const { rows: heads } = await db.query('SELECT size, root, note FROM log_head WHERE origin = $1', [origin]);
    await db.query('UPDATE log_head SET size = 0, root = sha256($2), note = NULL WHERE origin = $1', [origin, '']);
    for (let i = 0; i < 2; i++) await expect(run().done).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
    expect(await open()).toEqual([
      { kind: 'log.rollback', subject: `log:${origin}`, detail: { text: 'head of 0 leaves, published 5' } },
    ]);
    expect((await countAlarms(db))['log.rollback']).toBeGreaterThanOrEqual(1);
    const { size, root, note } = heads[0];
    await db.query('UPDATE log_head SET size = $2, root = $3, note = $4 WHERE origin = $1', [
      origin,
      `${size}`,
      root,
      note,
    ]);
    const integrator = run();
    await until(open, (rows) => rows.length === 0);
    await integrator.stop();
    expect((await db.query('SELECT FROM alarms WHERE subject = $1', [`log:${origin}`])).rowCount).toBe(1);
  });

  it('that grew again under other leaves is seen too', async () => {
    await publishLeaves(5);
    await restoreEmpty();
    await inTransaction(db, (tx) => ensureLog(tx, origin, clock.nowMicros()));
    await db.query("UPDATE log_head SET note = 'as restored'");
    await enqueue(7, 0xee);
    await inTransaction(db, (tx) => integrateLeaves(tx, { origin, now: clock.nowMicros() }));
    await expect(run().done).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
  });

  it('of the head alone is seen by the published checkpoints', async () => {
    await publishLeaves(5);
    await db.query('UPDATE log_head SET size = 0, root = sha256($2), note = NULL WHERE origin = $1', [origin, '']);
    await expect(run().done).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
  });

  it('is refused by the signer to an integrator that did not look', async () => {
    await publishLeaves(5);
    await restoreEmpty();
    const deps = await prepared();
    const { signal } = new AbortController();
    await integrateOnce(deps, signal, 1).catch(() => undefined);
    await db.query("UPDATE log_head SET note = 'as restored'");
    await enqueue(3, 0xee);
    await expect(integrateOnce(deps, signal)).rejects.toMatchObject({ code: 'LOG_ROLLBACK' });
    expect(await readLatestCheckpoint(db, origin)).toBeUndefined();
  });
});

describe('the loop', () => {
  it('closes a window once a token covers a batch that waits', async () => {
    await enqueue(3);
    const integrator = run();
    await untilPublished(3);
    await db.query(
      "INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at) VALUES ($1, 3, 't', '', $2, now(), $1, '1.2', false, now())",
      [origin, Buffer.alloc(32)],
    );
    for (;;) {
      const { rows } = await db.query('SELECT workflow_id FROM outbox');
      if (rows.length === 0) continue;
      expect(rows).toEqual([{ workflow_id: `anchor:${origin}:3` }]);
      break;
    }
    await integrator.stop();
  });

  it('as an activity heartbeats, and ends as cancelled when it is cancelled', async () => {
    const environment = new MockActivityEnvironment();
    const beats: unknown[] = [];
    environment.on('heartbeat', (details) => beats.push(details));
    const { integrateLog } = createIntegration(depsOf());
    const ended = environment.run(integrateLog, {}).catch((error) => error);
    await untilPublished(0);
    environment.cancel();
    expect(await ended).toBeInstanceOf(CancelledFailure);
    expect(beats.length).toBeGreaterThan(0);
  });

  it('as an activity ends by itself after the time it was given', async () => {
    const { integrateLog } = createIntegration(depsOf());
    expect(await new MockActivityEnvironment().run(integrateLog, { runForMs: 300 })).toMatchObject({
      size: '0',
      checkpoints: 1,
    });
  });
});

// Last: from here on the signer has two versions.
describe('a rotation of the log key', () => {
  it('has its checkpoints signed by both versions, so that the holder of either key verifies them', async () => {
    const integrator = run();
    await untilPublished(0);
    const { jwk } = await rotateKey(signing.dir, 'log', clock);
    const newKey = createNoteKey(origin, Uint8Array.from(Buffer.from(jwk?.x ?? '', 'base64url')));
    for (let verdict = false; !verdict; ) {
      await enqueue(1);
      await untilPublished(enqueued);
      const { note } = (await readLatestCheckpoint(db, origin)) ?? { note: '' };
      verdict = (await verifyCheckpoint(note, [newKey], origin)).valid;
      expect(await verifyCheckpoint(note, [key], origin)).toMatchObject({ valid: true });
    }
    await integrator.stop();
    await checkLog();
  });
});

/** A log whose head exists, for single steps. */
async function prepared(): Promise<IntegrationDeps> {
  await inTransaction(db, (tx) => ensureLog(tx, origin, clock.nowMicros()));
  return depsOf();
}
