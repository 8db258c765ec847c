import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../test/support/database.ts';
import { type Db, inTransaction } from './pool.ts';
import {
  isSerialUnused,
  type NewToken,
  readCoveringTimestamp,
  readUnstampedCheckpoint,
  storeToken,
} from './timestamps.ts';

let database: TestDatabase;
let db: Db;
let origin: string;

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.pool('proofline_worker');
});
afterAll(() => database.drop());
beforeEach(() => {
  origin = `test/${randomBytes(6).toString('hex')}`;
});

async function publish(...sizes: readonly bigint[]): Promise<void> {
  for (const size of sizes)
    await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
      origin,
      size,
      randomBytes(32),
      `note of ${size}`,
    ]);
}

const tokenOf = (size: bigint, change: Partial<NewToken> = {}): NewToken => ({
  origin,
  size,
  tsa: 'local',
  token: new Uint8Array(randomBytes(40)),
  genTime: '2026-01-31T08:00:00.000123Z',
  serial: randomBytes(16).toString('hex'),
  policy: '1.2.3',
  crls: [Uint8Array.of(48, 0), Uint8Array.of(48, 1, 255)],
  selfOperated: true,
  acceptedAt: '2026-01-31T08:00:00.500000Z',
  endsAt: '2036-01-31T08:00:00.000000Z',
  ...change,
});

const store = (token: NewToken) => inTransaction(db, (tx) => storeToken(tx, token));

async function timestampedSize(): Promise<bigint | undefined> {
  const { rows } = await db.query<{ timestamped_size: bigint }>(
    'SELECT timestamped_size FROM log_progress WHERE origin = $1',
    [origin],
  );
  return rows[0]?.timestamped_size;
}

describe('tokens of checkpoints', () => {
  it('come back as they were stored, with their hash, for every leaf they cover first', async () => {
    await publish(3n, 7n);
    const [three, seven] = [tokenOf(3n), tokenOf(7n)];
    expect([await store(three), await store(seven)]).toEqual(['stored', 'stored']);
    const tokenSha256 = new Uint8Array(createHash('sha256').update(three.token).digest());
    expect(await readCoveringTimestamp(db, origin, 0n)).toEqual({ ...three, tokenSha256 });
    expect((await readCoveringTimestamp(db, origin, 2n))?.size).toBe(3n);
    expect((await readCoveringTimestamp(db, origin, 3n))?.size).toBe(7n);
    expect(await readCoveringTimestamp(db, origin, 7n)).toBeUndefined();
  });

  it('keep the first of one checkpoint when sixteen arrive at once', async () => {
    await publish(5n);
    const tokens = Array.from({ length: 16 }, () => tokenOf(5n));
    const outcomes = await Promise.all(tokens.map(store));
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
    const kept = await readCoveringTimestamp(db, origin, 0n);
    expect(kept?.serial).toBe(tokens[outcomes.indexOf('stored')]?.serial);
    expect(await timestampedSize()).toBe(5n);
  });

  it('ignore a smaller size that comes late, so that the first token of a leaf stays the first', async () => {
    await publish(3n, 7n);
    await store(tokenOf(7n));
    expect(await store(tokenOf(3n))).toBe('kept-earlier');
    expect((await readCoveringTimestamp(db, origin, 0n))?.size).toBe(7n);
    expect(await timestampedSize()).toBe(7n);
  });

  it('refuse a serial that the authority used before and leave nothing behind', async () => {
    await publish(3n, 7n);
    const first = tokenOf(3n);
    await store(first);
    expect(await isSerialUnused(db, 'local', first.serial)).toBe(false);
    expect(await isSerialUnused(db, 'other', first.serial)).toBe(true);
    await expect(store(tokenOf(7n, { serial: first.serial }))).rejects.toMatchObject({ code: 'TSA_BAD_TOKEN' });
    expect(await timestampedSize()).toBe(3n);
    expect(await store(tokenOf(7n, { serial: first.serial, tsa: 'other' }))).toBe('stored');
  });

  it('refuse a checkpoint that was never published', async () => {
    await expect(store(tokenOf(4n))).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await timestampedSize()).toBeUndefined();
  });
});

describe('the checkpoint to stamp', () => {
  it('is the newest beyond what is covered, of this log alone, and none when all is covered', async () => {
    expect(await readUnstampedCheckpoint(db, origin)).toBeUndefined();
    await publish(0n);
    expect(await readUnstampedCheckpoint(db, origin)).toBeUndefined();
    await publish(3n, 7n, 9n);
    expect(await readUnstampedCheckpoint(db, origin)).toEqual({ size: 9n, note: 'note of 9', completesPrompt: false });
    await store(tokenOf(7n));
    expect((await readUnstampedCheckpoint(db, origin))?.size).toBe(9n);
    await store(tokenOf(9n));
    expect(await readUnstampedCheckpoint(db, origin)).toBeUndefined();
    expect(await readUnstampedCheckpoint(db, `${origin}/other`)).toBeUndefined();
  });

  it('says whether it has all leaves of a sealed prompt batch that no token covers', async () => {
    const completes = async () => (await readUnstampedCheckpoint(db, origin))?.completesPrompt;
    const batch = randomUUID();
    await db.query(
      `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, leaves_pending, max_leaf_index, formed_at)
       VALUES ($1, 'NONE', 'express', 3, 1, 6, now())`,
      [batch],
    );
    const change = (to: string) => db.query(`UPDATE batches SET ${to} WHERE id = $1`, [batch]);
    await publish(3n, 7n);
    // Still being sealed, and a leaf of it is queued.
    expect(await completes()).toBe(false);
    await change("state = 'SEALED'");
    expect(await completes()).toBe(false);
    await change('leaves_pending = 0');
    expect(await completes()).toBe(true);
    await change("lane = 'crowd'");
    expect(await completes()).toBe(false);
    await change("lane = 'prompt', max_leaf_index = 7");
    expect(await completes()).toBe(false);
    await publish(8n);
    expect(await completes()).toBe(true);
    await store(tokenOf(8n));
    await publish(9n);
    expect(await completes()).toBe(false);
    await change("state = 'CLOSED', max_leaf_index = 8");
    expect(await completes()).toBe(false);
  });
});
