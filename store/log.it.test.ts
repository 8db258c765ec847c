import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createTileNodeReader, parseEntryBundle, tileWidth } from '../log/tiles.ts';
import { emptyRoot, hashLeaf, rootOfLeaves, verifyConsistency, verifyInclusion } from '../log/tree.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import {
  readCheckpoint,
  readConsistencyProof,
  readInclusionPaths,
  readLatestCheckpoint,
  readTile,
} from './log.read.ts';
import { ensureLog, integrateLeaves, type LogHead, pruneCheckpoints, readLogWork, storeCheckpointNote } from './log.ts';
import { keyOf, readTiles } from './log-tiles.ts';
import { type Db, inTransaction } from './pool.ts';

const ORIGIN = 'log.example/test';
const NOW = '2026-01-31T08:00:00.000000Z';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

let test: TestDatabase;
/** What the integrator may do. */
let db: Db;
/** Who may also empty and spoil tables. */
let owner: Db;
/** Leaves enqueued so far in this test; a leaf's data is its number. */
let enqueued = 0;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  owner = test.pool('proofline_owner');
});
afterAll(() => test.drop());
beforeEach(async () => {
  await owner.query(
    'TRUNCATE log_head, leaf_queue, leaves, tiles, checkpoints, timestamps, anchors, anchor_attempts, log_progress, batches, submissions CASCADE',
  );
  await db.query('UPDATE anchor_windows SET needed_index = NULL, closed_at = NULL');
  enqueued = 0;
  await inTransaction(db, (tx) => ensureLog(tx, ORIGIN, NOW));
});

async function createBatch(n: number, policy = 'PREFERRED', window = 'express'): Promise<string> {
  await db.query(
    'INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at) VALUES ($1, $2, $3, 1, $4)',
    [uuid(n), policy, window, NOW],
  );
  return uuid(n);
}

async function enqueue(count: number, batch: string): Promise<void> {
  const numbers = Array.from({ length: count }, (_, i) => enqueued + i);
  enqueued += count;
  await inTransaction(db, async (tx) => {
    await tx.query(
      'INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf) SELECT u.id, $2, $3, u.leaf FROM unnest($1::uuid[], $4::bytea[]) AS u (id, leaf)',
      [numbers.map((n) => uuid(1_000_000 + n)), batch, uuid(7), numbers.map((n) => leafOf(n))],
    );
    await tx.query('UPDATE batches SET leaves_pending = leaves_pending + $2 WHERE id = $1', [batch, count]);
  });
}

function leafOf(n: number): Buffer {
  const leaf = Buffer.alloc(32);
  leaf.writeUInt32BE(n, 28);
  return leaf;
}

const integrate = (limit?: number) =>
  inTransaction(db, (tx) =>
    integrateLeaves(tx, { origin: ORIGIN, now: NOW, ...(limit === undefined ? {} : { limit }) }),
  );
const publish = (head: LogHead, at = NOW) =>
  storeCheckpointNote(db, { origin: ORIGIN, size: head.size, root: head.root, note: `note of ${head.size}`, now: at });

/** Integrates and publishes until nothing is queued. */
async function settle(limit?: number): Promise<LogHead> {
  for (;;) {
    const { head, leaves } = await integrate(limit);
    if (head.note === null) await publish(head);
    else if (leaves === 0) return head;
  }
}

/** Judges the whole stored log with the pure functions: every tile, every leaf, every kept checkpoint. */
async function checkLog(): Promise<void> {
  const { rows } = await db.query<{ index: bigint; leaf: Buffer }>('SELECT index, leaf FROM leaves ORDER BY index');
  expect(rows.map((row) => Number(row.index))).toEqual(rows.map((_, i) => i));
  const hashes = rows.map((row) => hashLeaf(row.leaf));
  const size = BigInt(rows.length);
  const { rows: kept } = await db.query<{ size: bigint; root: Buffer }>(
    'SELECT size, root FROM checkpoints ORDER BY size',
  );
  for (const checkpoint of kept)
    expect(hex(checkpoint.root)).toBe(hex(rootOfLeaves(hashes.slice(0, Number(checkpoint.size)))));
  for (const [i, second] of kept.entries()) {
    const first = kept[Math.max(0, i - 1)] as { size: bigint; root: Buffer };
    const proof = await readConsistencyProof(db, first.size, second.size);
    expect(
      verifyConsistency({
        first: first.size,
        firstRoot: first.root,
        second: second.size,
        secondRoot: second.root,
        proof,
      }),
    ).toBe(true);
  }
  if (size === 0n) return;
  const root = rootOfLeaves(hashes);
  const paths = await readInclusionPaths(
    db,
    rows.map((row) => row.index),
    size,
  );
  const bad = paths.findIndex(
    (path, i) => !verifyInclusion({ leafHash: hashes[i] as Uint8Array, index: BigInt(i), size, path, root }),
  );
  expect(bad).toBe(-1);
}

describe('integration', () => {
  it('begins with an unsigned head of the empty tree', async () => {
    expect(await readLogWork(db, ORIGIN)).toMatchObject({ head: { size: 0n, note: null }, isQueued: false });
    const { head } = await integrate();
    expect(hex(head.root)).toBe(hex(emptyRoot()));
  });

  it('takes no new leaves while the head is unsigned', async () => {
    await enqueue(3, await createBatch(1));
    expect(await integrate()).toMatchObject({ leaves: 0, head: { size: 0n, note: null } });
    await publish((await integrate()).head);
    expect(await integrate()).toMatchObject({ leaves: 3, head: { size: 3n, note: null } });
    await enqueue(2, uuid(1));
    expect(await integrate()).toMatchObject({ leaves: 0, head: { size: 3n, note: null } });
  });

  it('tells each batch how many of its leaves wait and where the last one is', async () => {
    await settle();
    const [a, b] = [await createBatch(1), await createBatch(2, 'NONE', 'standard')];
    await enqueue(2, a);
    await enqueue(3, b);
    await enqueue(1, a);
    await settle(4);
    const { rows } = await db.query('SELECT leaves_pending, max_leaf_index FROM batches ORDER BY id');
    expect(rows).toEqual([
      { leaves_pending: 0, max_leaf_index: 5n },
      { leaves_pending: 0, max_leaf_index: 4n },
    ]);
    const { rows: windows } = await db.query('SELECT "window", needed_index FROM anchor_windows ORDER BY "window"');
    expect(windows.map((row) => row.needed_index)).toEqual([5n, null, null]);
  });

  it('drops a leaf whose proof is in the tree already, and goes on', async () => {
    await settle();
    const batch = await createBatch(1);
    await enqueue(2, batch);
    await settle();
    await enqueue(1, batch);
    await db.query('UPDATE batches SET leaves_pending = leaves_pending + 1');
    await db.query('INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf) VALUES ($1, $2, $3, $4)', [
      uuid(1_000_000),
      batch,
      uuid(7),
      leafOf(0),
    ]);
    expect(await settle()).toMatchObject({ size: 3n });
    expect((await db.query('SELECT leaves_pending, max_leaf_index FROM batches')).rows).toEqual([
      { leaves_pending: 0, max_leaf_index: 2n },
    ]);
    await checkLog();
  });

  it('gives a log whose every leaf verifies and whose checkpoints are consistent, however enqueue and integration interleave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            count: fc.integer({ min: 0, max: 300 }),
            integrations: fc.integer({ min: 0, max: 3 }),
            limit: fc.integer({ min: 1, max: 400 }),
            isSigned: fc.boolean(),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        async (steps) => {
          await owner.query('TRUNCATE log_head, leaf_queue, leaves, tiles, checkpoints, log_progress, batches CASCADE');
          enqueued = 0;
          await inTransaction(db, (tx) => ensureLog(tx, ORIGIN, NOW));
          const batch = await createBatch(1);
          for (const step of steps) {
            await Promise.all([
              enqueue(step.count, batch),
              ...Array.from({ length: step.integrations }, async () => {
                const { head } = await integrate(step.limit);
                if (step.isSigned && head.note === null) await publish(head);
              }),
            ]);
          }
          const head = await settle();
          expect(head.size).toBe(BigInt(enqueued));
          await checkLog();
        },
      ),
      { numRuns: 12 },
    );
  }, 120_000);

  it('fills tiles of two levels and reads its edge back', async () => {
    await settle();
    const batch = await createBatch(1);
    for (const count of [65_400, 300]) {
      await enqueue(count, batch);
      await settle();
    }
    const { rows } = await db.query('SELECT level, count(*)::int AS tiles FROM tiles GROUP BY level ORDER BY level');
    expect(rows).toEqual([
      { level: 0, tiles: 256 },
      { level: 1, tiles: 1 },
    ]);
    const head = await settle();
    expect(hex(head.root)).toBe(hex(rootOfLeaves(Array.from({ length: 65_700 }, (_, i) => hashLeaf(leafOf(i))))));
    for (const index of [0n, 65_535n, 65_536n, 65_699n]) {
      for (const size of [65_400n, 65_700n]) {
        if (index >= size) continue;
        const [path = []] = await readInclusionPaths(db, [index], size);
        const { root } = (await readCheckpoint(db, ORIGIN, size)) as { root: Uint8Array };
        expect(verifyInclusion({ leafHash: hashLeaf(leafOf(Number(index))), index, size, path, root })).toBe(true);
      }
    }
  }, 60_000);

  it('stops with LOG_CORRUPT when the stored leaves are not those of the head', async () => {
    await settle();
    const batch = await createBatch(1);
    await enqueue(5, batch);
    await settle();
    await owner.query("UPDATE leaves SET leaf = decode(repeat('ff', 32), 'hex') WHERE index = 3");
    await enqueue(1, batch);
    await expect(integrate()).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect((await db.query('SELECT count(*)::int AS n FROM leaf_queue')).rows).toEqual([{ n: 1 }]);
  });
});

describe('a checkpoint note', () => {
  it('is stored once, for the head that it speaks of', async () => {
    const { head } = await integrate();
    expect(await publish({ ...head, root: Buffer.alloc(32, 1) })).toBe('superseded');
    expect(await publish({ ...head, size: 1n })).toBe('superseded');
    expect(
      await Promise.all([publish(head), publish(head), publish(head)]).then((outcomes) => outcomes.sort()),
    ).toEqual(['published', 'superseded', 'superseded']);
    expect(await readLatestCheckpoint(db, ORIGIN)).toMatchObject({ size: 0n, note: 'note of 0', publishedAt: NOW });
  });

  it('of a paused integrator is not stored over the head of another', async () => {
    await settle();
    const batch = await createBatch(1);
    await enqueue(2, batch);
    const paused = await integrate();
    await publish(paused.head);
    await enqueue(2, batch);
    await integrate();
    expect(await publish(paused.head)).toBe('superseded');
    expect(await readLogWork(db, ORIGIN)).toMatchObject({ head: { size: 4n, note: null } });
  });
});

describe('pruning', () => {
  it('keeps the newest checkpoint and those with a token or an anchor', async () => {
    const batch = await createBatch(1);
    await publish((await integrate()).head, '2026-01-01T00:00:00.000000Z');
    for (let i = 0; i < 4; i++) {
      await enqueue(1, batch);
      await publish((await integrate()).head, '2026-01-01T00:00:00.000000Z');
    }
    await db.query(
      "INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at) VALUES ($1, 1, 't', '', $2, $3, '1', '1.2', false, $3)",
      [ORIGIN, Buffer.alloc(32), NOW],
    );
    await db.query(
      `INSERT INTO anchors (origin, size, "window", created_at, updated_at) VALUES ($1, 2, 'express', $2, $2)`,
      [ORIGIN, NOW],
    );
    expect(await pruneCheckpoints(db, { origin: ORIGIN, before: '2026-01-01T00:00:00.000000Z' })).toBe(0);
    expect(await pruneCheckpoints(db, { origin: ORIGIN, before: '2026-01-02T00:00:00.000000Z' })).toBe(2);
    expect((await db.query('SELECT size FROM checkpoints ORDER BY size')).rows.map((row) => row.size)).toEqual([
      1n,
      2n,
      4n,
    ]);
  });
});

describe('reading', () => {
  it('gives every tile and bundle of the published tree, and nothing beyond it', async () => {
    await settle();
    const batch = await createBatch(1);
    await enqueue(600, batch);
    const { size, root } = await settle();
    const hashes = Array.from({ length: 600 }, (_, i) => hashLeaf(leafOf(i)));
    expect(hex(await readTile(db, ORIGIN, { level: 0, index: 1n, width: 256 }))).toBe(
      hashes.slice(256, 512).map(hex).join(''),
    );
    expect(hex(await readTile(db, ORIGIN, { level: 0, index: 1n, width: 3 }))).toBe(
      hashes.slice(256, 259).map(hex).join(''),
    );
    expect(hex(await readTile(db, ORIGIN, { level: 0, index: 2n, width: 88 }))).toBe(
      hashes.slice(512).map(hex).join(''),
    );
    expect(hex(await readTile(db, ORIGIN, { level: 1, index: 0n, width: 2 }))).toBe(
      [0, 256].map((at) => hex(rootOfLeaves(hashes.slice(at, at + 256)))).join(''),
    );
    const bundle = await readTile(db, ORIGIN, { level: 'entries', index: 2n, width: 88 });
    expect(parseEntryBundle(bundle, 88).map(hex)).toEqual(Array.from({ length: 88 }, (_, i) => hex(leafOf(512 + i))));
    for (const tile of [
      { level: 0, index: 2n, width: 89 },
      { level: 0, index: 3n, width: 1 },
      { level: 1, index: 0n, width: 3 },
      { level: 2, index: 0n, width: 1 },
      { level: 0, index: -1n, width: 1 },
      { level: 'entries' as const, index: 2n, width: 256 },
    ])
      await expect(readTile(db, ORIGIN, tile)).rejects.toMatchObject({ code: 'LOG_TILE_NOT_FOUND' });
    await enqueue(10, batch);
    await integrate();
    await expect(readTile(db, ORIGIN, { level: 0, index: 2n, width: 98 })).rejects.toMatchObject({
      code: 'LOG_TILE_NOT_FOUND',
    });
    const tiles = await readTiles(
      db,
      [0n, 1n, 2n].map((index) => ({ level: 0, index })),
      size,
    );
    expect([...tiles].map(([key, tile]) => [key, tile.length / 32])).toEqual(
      [0n, 1n, 2n].map((index) => [keyOf({ level: 0, index }), tileWidth(0, index, size)]),
    );
    expect(
      hex(
        createTileNodeReader((level, index) => tiles.get(keyOf({ level, index })) as Uint8Array)({
          level: 7,
          index: 1n,
        }),
      ),
    ).toBe(hex(rootOfLeaves(hashes.slice(128, 256))));
    expect(hex(root)).toBe(hex(rootOfLeaves(hashes)));
  });

  it('needs no more than the rights of the API', async () => {
    await settle();
    await enqueue(300, await createBatch(1));
    await settle();
    await inTransaction(test.pool('proofline_api'), async (tx) => {
      expect((await readLatestCheckpoint(tx, ORIGIN))?.size).toBe(300n);
      expect((await readTile(tx, ORIGIN, { level: 'entries', index: 1n, width: 44 })).length).toBe(44 * 34);
      expect((await readInclusionPaths(tx, [299n, 0n], 300n)).map((path) => path.length)).toEqual([5, 9]);
    });
  });

  it('refuses paths of leaves that the tree does not have', async () => {
    await expect(readInclusionPaths(db, [0n], 0n)).rejects.toMatchObject({ code: 'LOG_TILE_NOT_FOUND' });
    await expect(readInclusionPaths(db, [-1n], 5n)).rejects.toMatchObject({ code: 'LOG_TILE_NOT_FOUND' });
    await expect(readConsistencyProof(db, 3n, 2n)).rejects.toMatchObject({ code: 'LOG_TILE_NOT_FOUND' });
  });
});
