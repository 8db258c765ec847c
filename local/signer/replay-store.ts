/**
 * Answers by idempotency key, on disk, so that a repeat gets the same bytes over a restart and a kill -9: ECDSA and PSS
 * are randomised, and activities run at least once. Nothing is given out before it is kept. Two SQLite files: what is
 * kept an hour survives the end of the process, what is kept a week the loss of power too (one sync per group of
 * answers that are ready together). Each purpose has a bound of bytes of its own; beyond it its oldest answers go
 * first, and that is logged when it is before their time.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Clock } from '../../domain/clock.ts';
import type { Purpose } from './key-version.ts';
import { SignerProblem } from './problem.ts';

const HOUR_MS = 3_600_000;
const WEEK_MS = 168 * HOUR_MS;
/** Seals, checkpoints, tokens and what is enciphered an hour; what leaves the house, or is compared later, a week. */
export const REPLAY_MS: Readonly<Record<Purpose, number>> = {
  seal: HOUR_MS,
  'log-checkpoint': HOUR_MS,
  tsa: HOUR_MS,
  decrypt: HOUR_MS,
  certificate: WEEK_MS,
  pdf: WEEK_MS,
  'tx-hedera': WEEK_MS,
  'tx-evm': WEEK_MS,
  hmac: WEEK_MS,
};

/** About 2^31 bytes hold an hour of 6,000 seals a second, or a week of 40 certificates a second. */
export const DEFAULT_REPLAY_BYTES = 2 * 1024 * 1024 * 1024;
/** What an answer costs beside its bytes: key, hash of the request, indexes. */
const OVERHEAD_BYTES = 200;
/** Expired answers removed with a write: more than one write brings. */
const SWEEP = 64;

export interface ReplayStore {
  /**
   * The answer kept under `key`, byte for byte, or the one that `make` gives now; twins in flight share it. Throws
   * `idempotency_conflict` if the key came with another request. A failure is not kept.
   */
  once(purpose: Purpose, key: string, requestHash: string, make: () => Promise<Buffer>): Promise<Buffer>;
  close(): void;
}

export interface ReplayOptions {
  /** Folder of the two files; made if need be. */
  readonly dir: string;
  readonly clock: Clock;
  /** Bound of each purpose. */
  readonly maxBytes?: number;
  readonly log?: (event: Readonly<Record<string, unknown>>) => void;
}

/** Opens the answers kept. Throws when a file is damaged: forgetting would be silent. */
export async function openReplayStore({
  dir,
  clock,
  maxBytes = DEFAULT_REPLAY_BYTES,
  log = () => undefined,
}: ReplayOptions): Promise<ReplayStore> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const hour = openShelf(join(dir, 'hour.db'), 'NORMAL', clock, maxBytes, log);
  const week = openShelf(join(dir, 'week.db'), 'FULL', clock, maxBytes, log);
  const inFlight = new Map<string, { readonly requestHash: string; readonly answer: Promise<Buffer> }>();

  return {
    once(purpose, key, requestHash, make) {
      const shelf = REPLAY_MS[purpose] === HOUR_MS ? hour : week;
      const kept = inFlight.get(key) ?? shelf.find(key);
      if (kept !== undefined) {
        if (kept.requestHash === requestHash) return Promise.resolve(kept.answer);
        return Promise.reject(new SignerProblem('idempotency_conflict', 'the key was used with another request'));
      }
      const answer = make().then((bytes) => shelf.keep({ purpose, key, requestHash, answer: bytes }).then(() => bytes));
      inFlight.set(key, { requestHash, answer });
      const leave = (): void => void inFlight.delete(key);
      answer.then(leave, leave);
      return answer;
    },
    close() {
      hour.close();
      week.close();
    },
  };
}

interface Entry {
  readonly purpose: Purpose;
  readonly key: string;
  readonly requestHash: string;
  readonly answer: Buffer;
}

interface Shelf {
  find(key: string): { readonly requestHash: string; readonly answer: Buffer } | undefined;
  keep(entry: Entry): Promise<void>;
  close(): void;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, request TEXT NOT NULL, purpose TEXT NOT NULL,
    expires INTEGER NOT NULL, bytes INTEGER NOT NULL, answer BLOB NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS answers_expire ON answers (purpose, expires);`;

function openShelf(
  file: string,
  synchronous: 'NORMAL' | 'FULL',
  clock: Clock,
  maxBytes: number,
  log: NonNullable<ReplayOptions['log']>,
): Shelf {
  const db = new DatabaseSync(file);
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA journal_size_limit = 16777216;`);
  db.exec(SCHEMA);
  const select = db.prepare('SELECT request, answer FROM answers WHERE key = ? AND expires > ?');
  const insert = db.prepare('INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)');
  const sweep = db.prepare(
    `DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE purpose = ? AND expires <= ?
     ORDER BY expires LIMIT ${SWEEP}) RETURNING bytes, expires`,
  );
  const held = new Map<string, number>();
  for (const row of db.prepare('SELECT purpose, sum(bytes) AS bytes FROM answers GROUP BY purpose').all())
    held.set(String(row.purpose), Number(row.bytes));
  let waiting: { readonly entry: Entry; readonly done: () => void; readonly failed: (cause: unknown) => void }[] = [];

  function remove(statement: StatementSync, purpose: Purpose, until: number): number {
    const gone = statement.all(purpose, until);
    const bytes = gone.reduce((sum, row) => sum + Number(row.bytes), 0);
    held.set(purpose, (held.get(purpose) ?? 0) - bytes);
    const now = clock.nowMs();
    const early = gone.filter((row) => Number(row.expires) > now).length;
    if (early > 0) log({ event: 'replay-cut-short', purpose, answers: early, maxBytes });
    return gone.length;
  }

  function write({ purpose, key, requestHash, answer }: Entry): void {
    const now = clock.nowMs();
    const bytes = answer.length + OVERHEAD_BYTES;
    remove(sweep, purpose, now);
    while ((held.get(purpose) ?? 0) + bytes > maxBytes && remove(sweep, purpose, Number.MAX_SAFE_INTEGER) > 0);
    insert.run(nameOf(key), requestHash, purpose, now + REPLAY_MS[purpose], bytes, answer);
    held.set(purpose, (held.get(purpose) ?? 0) + bytes);
  }

  function flush(): void {
    const group = waiting;
    waiting = [];
    if (group.length === 0) return;
    try {
      db.exec('BEGIN IMMEDIATE');
      for (const { entry } of group) write(entry);
      db.exec('COMMIT');
    } catch (cause) {
      if (db.isOpen && db.isTransaction) db.exec('ROLLBACK');
      log({ event: 'replay-not-kept', reason: cause instanceof Error ? cause.message : 'unknown' });
      for (const { failed } of group)
        failed(new SignerProblem('unavailable', 'the answer could not be kept, so it is not given'));
      return;
    }
    for (const { done } of group) done();
  }

  return {
    find(key) {
      const row = select.get(nameOf(key), clock.nowMs());
      if (row === undefined) return undefined;
      const answer = row.answer as Uint8Array;
      return {
        requestHash: String(row.request),
        answer: Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength),
      };
    },
    keep: (entry) =>
      new Promise((done, failed) => {
        if (waiting.length === 0) setImmediate(flush);
        waiting.push({ entry, done, failed });
      }),
    close() {
      flush();
      db.close();
    },
  };
}

const nameOf = (key: string): Buffer => createHash('sha256').update(key).digest();
