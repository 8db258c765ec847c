/**
 * Anchors and their attempts. Signed bytes are here before they are first sent; states only move forward, so that a
 * repeated or late activity changes nothing. Lock order: anchors, anchor_attempts, log_progress, topic_cursors, alarms.
 */
import type { HcsAnchorEntry } from '../domain/bundle.ts';
import { workflowIds } from '../domain/ids.ts';
import { endAlarms, raiseAlarm } from './alarms.ts';
import { type Db, inTransaction, type Queryable, type Tx } from './pool.ts';
import { followTopic } from './topic-cursors.ts';

export const ATTEMPT_STATES = [
  'PREPARED',
  'SENT',
  'CONSENSUS',
  'CONFIRMED',
  'VERIFIED',
  'REJECTED',
  'FAILED',
  'EXPIRED',
  'SUSPECT',
] as const;
export type AttemptState = (typeof ATTEMPT_STATES)[number];
export type AnchorState = AttemptState | 'PENDING';

/** From where an attempt may come into a state. What is VERIFIED stays so; what is SUSPECT until an operator decides (`anchor-commands.ts`). */
const FROM: Readonly<Record<AttemptState, readonly AttemptState[]>> = {
  PREPARED: ['REJECTED'],
  SENT: ['PREPARED', 'SENT', 'REJECTED'],
  CONSENSUS: ['PREPARED', 'SENT', 'REJECTED'],
  CONFIRMED: ['PREPARED', 'SENT', 'REJECTED', 'CONSENSUS'],
  VERIFIED: ['PREPARED', 'SENT', 'REJECTED', 'CONSENSUS', 'CONFIRMED'],
  REJECTED: ['PREPARED', 'SENT'],
  FAILED: ['PREPARED', 'SENT', 'REJECTED'],
  EXPIRED: ['PREPARED', 'SENT', 'REJECTED'],
  SUSPECT: ['PREPARED', 'SENT', 'REJECTED', 'CONSENSUS', 'CONFIRMED'],
};

/**
 * What the anchor shows while its newest attempt is in a state. A FAILED attempt leaves the anchor REJECTED: it waits
 * for a person, and while it does no further anchor pays for the same fault.
 */
export const ANCHOR_STATE: Readonly<Record<AttemptState, AnchorState>> = {
  PREPARED: 'PREPARED',
  SENT: 'SENT',
  CONSENSUS: 'CONSENSUS',
  CONFIRMED: 'CONFIRMED',
  VERIFIED: 'VERIFIED',
  REJECTED: 'REJECTED',
  FAILED: 'REJECTED',
  EXPIRED: 'EXPIRED',
  SUSPECT: 'SUSPECT',
};

export interface AnchorKey {
  readonly origin: string;
  readonly size: bigint;
}

/** Where an anchor goes: a message on the topic, or a call of the registry contract. Named as by PROOFLINE_ANCHOR_MODE. */
export type AnchorMedium = 'hcs' | 'contract';

export interface AttemptKey extends AnchorKey {
  readonly attempt: number;
}

export interface AnchorRow {
  readonly state: AnchorState;
  /** 0 before the first. */
  readonly attempt: number;
  /** 32 bytes: root of the checkpoint. */
  readonly root: Uint8Array;
  /** Why it is REJECTED; null once an operator let it be tried again. */
  readonly failure: { readonly status: string } | null;
}

export interface AttemptRow {
  readonly attempt: number;
  readonly state: AttemptState;
  readonly transactionId: string;
  /** What the adapter prepared, without the bytes. */
  readonly prepared: Readonly<Record<string, unknown>>;
  readonly signedBytes: Uint8Array;
  readonly receipt: Readonly<Record<string, string>> | null;
  readonly failure: { readonly status: string } | null;
}

/** Undefined without an anchor or its checkpoint. */
export async function readAnchor(db: Queryable, { origin, size }: AnchorKey): Promise<AnchorRow | undefined> {
  const { rows } = await db.query<AnchorRow>(
    'SELECT a.state, a.attempt, a.failure, c.root FROM anchors a JOIN checkpoints c USING (origin, size) WHERE a.origin = $1 AND a.size = $2::bigint',
    [origin, size.toString()],
  );
  return rows[0];
}

/**
 * Anchors that are neither on the ledger yet nor given up and have stood still since `before`, in the order of their keys from `after`
 * on, at most `limit`.
 */
export async function readOpenAnchors(
  db: Queryable,
  before: string,
  after: AnchorKey | undefined,
  limit: number,
): Promise<readonly AnchorKey[]> {
  const { rows } = await db.query<AnchorKey>(
    `SELECT origin, size FROM anchors WHERE state NOT IN ('VERIFIED', 'FAILED') AND updated_at < $1 AND (origin, size) > ($2, $3::bigint) ORDER BY origin, size LIMIT $4`,
    [before, after?.origin ?? '', (after?.size ?? -1n).toString(), limit],
  );
  return rows;
}

export async function readAttempt(
  db: Queryable,
  { origin, size, attempt }: AttemptKey,
): Promise<AttemptRow | undefined> {
  const { rows } = await db.query<AttemptRow>(
    `SELECT attempt, state, transaction_id AS "transactionId", prepared, signed_bytes AS "signedBytes", receipt, failure
     FROM anchor_attempts WHERE origin = $1 AND size = $2::bigint AND attempt = $3`,
    [origin, size.toString(), attempt],
  );
  return rows[0];
}

export interface NewAttempt extends AttemptKey {
  readonly transactionId: string;
  readonly prepared: Readonly<Record<string, unknown>>;
  readonly signedBytes: Uint8Array;
  readonly now: string;
}

/**
 * Keeps the first preparation of an attempt; a later one is dropped unsent. Key (origin, size, attempt). Returns the
 * row that stands. Locks the anchor.
 */
export function storePrepared(db: Db, attempt: NewAttempt): Promise<AttemptRow> {
  const { origin, size, transactionId, prepared, signedBytes, now } = attempt;
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, attempt);
    const { rowCount } = await tx.query(
      `INSERT INTO anchor_attempts (origin, size, attempt, state, transaction_id, prepared, signed_bytes, created_at, updated_at)
       VALUES ($1, $2::bigint, $3, 'PREPARED', $4, $5, $6, $7, $7) ON CONFLICT (origin, size, attempt) DO NOTHING`,
      [origin, size.toString(), attempt.attempt, transactionId, JSON.stringify(prepared), signedBytes, now],
    );
    if (rowCount === 1) {
      await tx.query(
        `UPDATE anchors SET state = 'PREPARED', attempt = $3, failure = NULL, updated_at = $4 WHERE origin = $1 AND size = $2::bigint`,
        [origin, size.toString(), attempt.attempt, now],
      );
    }
    const row = await readAttempt(tx, attempt);
    if (row === undefined) throw new Error(`attempt ${attempt.attempt} of anchor ${size} vanished`);
    return row;
  });
}

export interface AttemptChange extends AttemptKey {
  readonly state: Exclude<AttemptState, 'VERIFIED'>;
  readonly now: string;
  readonly receipt?: Readonly<Record<string, string>>;
  readonly confirmation?: unknown;
  readonly failure?: { readonly status: string };
}

/** Whether another anchor of the log is SUSPECT: until somebody has decided about it, no transaction is sent for the first time. */
export async function isFrozen(db: Queryable, { origin, size }: AnchorKey): Promise<boolean> {
  const { rowCount } = await db.query(
    `SELECT FROM anchors WHERE origin = $1 AND size <> $2::bigint AND state = 'SUSPECT' LIMIT 1`,
    [origin, size.toString()],
  );
  return rowCount === 1;
}

/**
 * Moves an attempt, and its anchor with it, if it may come into that state from where it is; raises an alarm where a
 * person must look. Key (origin, size, attempt, state).
 */
export function moveAttempt(db: Db, change: AttemptChange): Promise<'moved' | 'kept'> {
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, change);
    const moved = await move(tx, change);
    const kind = ALARM_OF[change.state];
    if (moved === 'moved' && kind !== undefined)
      await raiseAlarm(tx, {
        kind,
        subject: alarmSubject(change),
        detail: { attempt: change.attempt, status: change.failure?.status ?? change.state },
        at: change.now,
      });
    return moved;
  });
}

const ALARM_OF: Partial<Record<AttemptState, 'anchor.suspect' | 'anchor.rejected'>> = {
  SUSPECT: 'anchor.suspect',
  REJECTED: 'anchor.rejected',
  FAILED: 'anchor.rejected',
};

/** What alarms about an anchor name: its workflow. */
export function alarmSubject({ origin, size }: AnchorKey): string {
  return workflowIds.anchorCheckpoint(origin, size);
}

export interface VerifiedAnchor extends AttemptKey {
  readonly entry: HcsAnchorEntry;
  readonly confirmation: unknown;
  /** Decimal; absent where the mirrors do not tell. */
  readonly feeTinybars?: string;
  readonly now: string;
}

/**
 * The anchor stands: its entry, the attempt's end, and what is covered from now on, in one transaction. Key (origin,
 * size): the first entry is kept. Locks anchors, anchor_attempts, log_progress.
 */
export function recordVerified(db: Db, verified: VerifiedAnchor): Promise<'moved' | 'kept'> {
  return inTransaction(db, async (tx) => {
    await lockAnchor(tx, verified);
    const moved = await move(tx, { ...verified, state: 'VERIFIED' });
    if (moved === 'moved') await cover(tx, verified);
    return moved;
  });
}

/**
 * What an anchor that stands brings: its entry, its cost with the leaves that share it (those that no earlier anchor
 * covered), what is covered, and the place in the topic. The anchor is locked and has just become VERIFIED.
 */
export async function cover(tx: Tx, verified: VerifiedAnchor): Promise<void> {
  const { origin, size, entry, feeTinybars, now } = verified;
  const { rows } = await tx.query<{ anchored_size: bigint }>(
    'SELECT anchored_size FROM log_progress WHERE origin = $1 FOR UPDATE',
    [origin],
  );
  const before = rows[0]?.anchored_size ?? 0n;
  await tx.query(
    'UPDATE anchors SET entry = $3, fee_tinybars = $4::bigint, new_leaves = $5::bigint WHERE origin = $1 AND size = $2::bigint AND entry IS NULL',
    [
      origin,
      size.toString(),
      JSON.stringify(entry),
      feeTinybars ?? null,
      (size > before ? size - before : 0n).toString(),
    ],
  );
  await tx.query(
    `INSERT INTO log_progress (origin, anchored_size) VALUES ($1, $2::bigint)
     ON CONFLICT (origin) DO UPDATE SET anchored_size = greatest(log_progress.anchored_size, excluded.anchored_size)`,
    [origin, size.toString()],
  );
  await followTopic(tx, entry, now);
  await endAlarms(tx, alarmSubject(verified), now);
}

async function lockAnchor(tx: Tx, { origin, size }: AnchorKey): Promise<void> {
  const { rowCount } = await tx.query('SELECT FROM anchors WHERE origin = $1 AND size = $2::bigint FOR UPDATE', [
    origin,
    size.toString(),
  ]);
  if (rowCount !== 1) throw new Error(`no anchor of ${origin} at ${size}`);
}

interface Move extends Omit<AttemptChange, 'state'> {
  readonly state: AttemptState;
}

async function move(tx: Tx, change: Move): Promise<'moved' | 'kept'> {
  const { origin, size, attempt, state, now } = change;
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  const { rowCount } = await tx.query(
    `UPDATE anchor_attempts SET state = $4, updated_at = $5, receipt = coalesce($6, receipt), confirmation = coalesce($7, confirmation), failure = $8
     WHERE origin = $1 AND size = $2::bigint AND attempt = $3 AND state = ANY ($9::text[])`,
    [
      origin,
      size.toString(),
      attempt,
      state,
      now,
      json(change.receipt),
      json(change.confirmation),
      json(change.failure),
      FROM[state],
    ],
  );
  if (rowCount !== 1) return 'kept';
  await tx.query(
    `UPDATE anchors SET state = $4, failure = $5, updated_at = $6 WHERE origin = $1 AND size = $2::bigint AND attempt = $3 AND state <> 'VERIFIED'`,
    [origin, size.toString(), attempt, ANCHOR_STATE[state], json(change.failure), now],
  );
  return 'moved';
}
