import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createIntegrityChecks } from '../activities/integrity/check-integrity.ts';
import { systemClock } from '../domain/clock.ts';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { measureIntegrity } from '../workers/measure-integrity.ts';
import { findAuditBreak } from './audit.ts';
import { checkLogTree } from './check-log-tree.ts';
import { type IntegrityResult, readIntegrity, recordIntegrity } from './integrity-results.ts';
import { ensureLog, integrateLeaves, storeCheckpointNote } from './log.ts';
import { type Db, inTransaction } from './pool.ts';

const ORIGIN = 'log.example/test';
const NOW = '2026-01-31T08:00:00.000000Z';
/** More than one step of the walk, and an edge beyond the last full tile. */
const SIZE = 16_384 + 256 + 7;
const BATCH = '00000000-0000-4000-8000-000000000001';

let test: TestDatabase;
let db: Db;
/** Who may spoil what the workers may not. */
let owner: Db;

beforeAll(async () => {
  test = await createTestDatabase();
  db = test.pool('proofline_worker');
  owner = test.pool('proofline_owner');
  await inTransaction(db, (tx) => ensureLog(tx, ORIGIN, NOW));
  await publish();
  await owner.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, leaves_pending, formed_at) VALUES ($1, 'NONE', 'express', 1, $2, $3)`,
    [BATCH, SIZE, NOW],
  );
  await owner.query(
    `INSERT INTO leaf_queue (proof_id, batch_id, tenant_id, leaf)
     SELECT md5('proof ' || n)::uuid, $1, $1, sha256(convert_to('leaf ' || n, 'UTF8')) FROM generate_series(1, $2::int) n`,
    [BATCH, SIZE],
  );
  for (const limit of [100, 300, 8_000, 16_384]) {
    await inTransaction(db, (tx) => integrateLeaves(tx, { origin: ORIGIN, now: NOW, limit }));
    await publish();
  }
});
afterAll(() => test.drop());

async function publish(): Promise<void> {
  const { rows } = await db.query('SELECT origin, size, root FROM log_head');
  await storeCheckpointNote(db, { ...rows[0], note: 'note', now: NOW });
}

const checks = () => createIntegrityChecks({ db, clock: systemClock(), origin: ORIGIN, heartbeat: () => {} });

/** Spoils the log for the time of one check, in words of SQL; returns the faults found. */
async function faultsAfter(spoil: string): Promise<readonly string[]> {
  const copies = ['leaves', 'tiles', 'checkpoints', 'log_head'];
  for (const table of copies) await owner.query(`CREATE TABLE kept_${table} AS TABLE ${table}`);
  try {
    await owner.query(spoil);
    return (await checks().checkLogTree({ at: NOW })).faults;
  } finally {
    for (const table of copies) {
      await owner.query(`DELETE FROM ${table}`);
      await owner.query(`INSERT INTO ${table} TABLE kept_${table}`);
      await owner.query(`DROP TABLE kept_${table}`);
    }
  }
}

describe('the check of the log', () => {
  it('walks a sound tree to its head, page by page, and finds nothing', async () => {
    expect(await checkLogTree(db, { origin: ORIGIN, from: 0n })).toEqual({
      checked: 16_384,
      faults: [],
      next: 16_384n,
    });
    expect(await checks().checkLogTree({ at: NOW })).toEqual({ checked: SIZE, faults: [] });
  });

  it.each([
    [
      'a changed leaf',
      "UPDATE leaves SET leaf = sha256('x') WHERE index = 16384",
      ['checkpoint 16647 has another root', 'tile 0/64 does not follow', 'head of 16647 has another root'],
    ],
    ['a missing leaf', 'DELETE FROM leaves WHERE index = 5', ['of the leaves 0 to 16383, 1 are missing']],
    ['a changed tile', 'UPDATE tiles SET hashes = set_byte(hashes, 9, 1) WHERE level = 0 AND n = 3', ['tile 0/3 does']],
    ['a changed root of a tile', "UPDATE tiles SET root = sha256('x') WHERE level = 0 AND n = 2", ['tile 0/2 does']],
    ['a missing tile', 'DELETE FROM tiles WHERE level = 0 AND n = 7', ['tile 0/7 is missing']],
    [
      'a changed checkpoint',
      "UPDATE checkpoints SET root = sha256('x') WHERE size = 400",
      ['checkpoint 400 has another'],
    ],
    [
      'a checkpoint of the empty tree',
      "UPDATE checkpoints SET root = sha256('x') WHERE size = 0",
      ['checkpoint 0 has'],
    ],
    ['a changed head', "UPDATE log_head SET root = sha256('x')", ['the head of 16647 has another root']],
    [
      'a head that went back',
      'UPDATE log_head SET size = 400, root = (SELECT root FROM checkpoints WHERE size = 400)',
      ['16247 leaves lie beyond the head of 400', '64 tiles lie beyond', '2 checkpoints lie beyond'],
    ],
  ])('finds %s', async (_what, spoil, faults) => {
    expect(await faultsAfter(spoil)).toEqual(faults.map((fault) => expect.stringContaining(fault)));
  });
});

describe('the results of checks', () => {
  const result: IntegrityResult = {
    check: 'log-tree',
    at: '2026-02-01T02:00:00.000000Z',
    state: 'PASSED',
    checked: 5,
    faultCount: 0,
    faults: [],
    finishedAt: '2026-02-01T02:00:05.000000Z',
  };
  beforeEach(() => owner.query('TRUNCATE integrity_results, audit'));
  afterEach(async () => expect(await findAuditBreak(db)).toBeUndefined());

  it('are kept once a check and run, a failure is audited, and the newest stands as a metric', async () => {
    await recordIntegrity(db, result);
    const failed: IntegrityResult = {
      ...result,
      at: '2026-02-02T02:00:00.000000Z',
      finishedAt: '2026-02-02T02:00:05.000000Z',
      state: 'FAILED',
      faultCount: 2,
      faults: ['tile 0/3 is missing', 'another'],
    };
    await recordIntegrity(db, failed);
    await recordIntegrity(db, { ...failed, faultCount: 9 });
    await recordIntegrity(db, { ...result, check: 'licence-counters', state: 'UNFINISHED', code: 'TIMEOUT' });
    const standing = await measureIntegrity(db);
    expect(standing).toEqual([
      { check: 'licence-counters', state: 'UNFINISHED', faultCount: 0, finishedAt: result.finishedAt, passedAt: null },
      { check: 'log-tree', state: 'FAILED', faultCount: 2, finishedAt: failed.finishedAt, passedAt: result.finishedAt },
    ]);
    const { rows } = await owner.query('SELECT action, subject, detail FROM audit');
    expect(rows).toEqual([
      {
        action: 'integrity.failed',
        subject: 'log-tree',
        detail: { run: failed.at, faultCount: 2, faults: failed.faults },
      },
    ]);
  });

  it('of checks that never ran are none', async () => {
    expect(await readIntegrity(db)).toEqual([]);
  });
});
