/**
 * Anchors in the registry contract and their attempts: apart from those on the topic (`anchors.ts`), which never wait
 * for them. Signed bytes are here before they are first sent. Lock order: contract_anchors, anchor_commands,
 * contract_attempts, log_progress, alarms.
 */
import type { ContractAnchorEntry } from '../domain/bundle.ts';
import { workflowIds } from '../domain/ids.ts';
import { endAlarms, raiseAlarm } from './alarms.ts';
import {
  ANCHOR_STATE,
  type AnchorKey,
  type AnchorRow,
  type AttemptChange,
  type AttemptKey,
  type AttemptRow,
  type AttemptState,
  type NewAttempt,
} from './anchors.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Queryable, type Tx } from './pool.ts';

export const CONTRACT_WINDOW_MS = 3_600_000;

/** From where an attempt may come into a state. What is VERIFIED stays so; what is SUSPECT until an operator decides (`anchor-commands.ts`). */
const FROM: Readonly<Record<AttemptState, readonly AttemptState[]>> = {
  PREPARED: [],
  SENT: ['PREPARED', 'SENT', 'REJECTED'],
  CONSENSUS: ['PREPARED', 'SENT', 'REJECTED'],
  CONFIRMED: ['SENT', 'CONSENSUS', 'CONFIRMED'],
  VERIFIED: ['SENT', 'CONSENSUS', 'CONFIRMED'],
  REJECTED: ['PREPARED', 'SENT', 'REJECTED'],
  FAILED: ['PREPARED', 'SENT', 'REJECTED'],
  EXPIRED: ['PREPARED', 'SENT', 'REJECTED'],
  SUSPECT: ['SENT', 'CONSENSUS', 'CONFIRMED'],
};

const ALARM_OF: Partial<Record<AttemptState, 'anchor.suspect' | 'anchor.rejected'>> = {
  SUSPECT: 'anchor.suspect',
  REJECTED: 'anchor.rejected',
  FAILED: 'anchor.rejected',
};

export interface ContractAnchorRow extends AnchorRow {
  /** Whether proofs rest on it: where no topic is written to. */
  readonly carriesProofs: boolean;
}

/**
 * Begins an anchor of the newest timestamped checkpoint, with its workflow, if a window has passed since the last one,
 * the log has grown, and none is under way or held. One that an operator gave up (FAILED) covers nothing: its own
 * checkpoint may be anchored again, by a further attempt. Key (origin, size). Returns the size, if one was begun.
 */
export async function closeContractWindow(
  tx: Tx,
  input: { readonly origin: string; readonly now: string; readonly windowMs: number; readonly carriesProofs: boolean },
): Promise<bigint | undefined> {
  const { origin, now, windowMs, carriesProofs } = input;
  const { rows } = await tx.query<{ size: bigint }>(
    `INSERT INTO contract_anchors (origin, size, carries_proofs, created_at, updated_at)
     SELECT $1, s.size, $4, $2, $2 FROM (SELECT max(size) AS size FROM timestamps WHERE origin = $1) s
     WHERE s.size > coalesce((SELECT max(size) FROM contract_anchors WHERE origin = $1 AND state <> 'FAILED'), 0)
       AND NOT EXISTS (SELECT FROM contract_anchors WHERE origin = $1
         AND (state NOT IN ('VERIFIED', 'FAILED') OR created_at > $2::timestamptz - $3::bigint * interval '1 millisecond'))
     ON CONFLICT (origin, size) DO UPDATE SET state = 'PENDING', carries_proofs = excluded.carries_proofs, failure = NULL,
       created_at = excluded.created_at, updated_at = excluded.updated_at WHERE contract_anchors.state = 'FAILED'
     RETURNING size`,
    [origin, now, windowMs, carriesProofs],
  );
  const size = rows[0]?.size;
  if (size === undefined) return undefined;
  const start = { workflowId: workflowIds.anchorContract(origin, size), name: 'anchorContract' };
  await enqueueMotion(tx, [{ kind: 'start', ...start, payload: { origin, size: size.toString() } }], now);
  return size;
}

/** Undefined without an anchor or its checkpoint. */
export async function readContractAnchor(
  db: Queryable,
  { origin, size }: AnchorKey,
): Promise<ContractAnchorRow | undefined> {
  const { rows } = await db.query<ContractAnchorRow>(
    `SELECT a.state, a.attempt, a.failure, a.carries_proofs AS "carriesProofs", c.root FROM contract_anchors a JOIN checkpoints c USING (origin, size)
     WHERE a.origin = $1 AND a.size = $2::bigint`,
    [origin, size.toString()],
  );
  return rows[0];
}

export async function readContractAttempt(db: Queryable, key: AttemptKey): Promise<AttemptRow | undefined> {
  const { rows } = await db.query<AttemptRow>(
    `SELECT attempt, state, transaction_id AS "transactionId", prepared, signed_bytes AS "signedBytes", receipt, failure
     FROM contract_attempts WHERE origin = $1 AND size = $2::bigint AND attempt = $3`,
    [key.origin, key.size.toString(), key.attempt],
  );
  return rows[0];
}

/** Anchors that neither stand nor were given up and have stood still since `before`, at most `limit`. */
export async function readOpenContractAnchors(
  db: Queryable,
  before: string,
  limit: number,
): Promise<readonly AnchorKey[]> {
  const { rows } = await db.query<AnchorKey>(
    `SELECT origin, size FROM contract_anchors WHERE state NOT IN ('VERIFIED', 'FAILED') AND updated_at < $1 ORDER BY origin, size LIMIT $2`,
    [before, limit],
  );
  return rows;
}

/** Keeps the first preparation of an attempt; a later one is dropped unsent. Key (origin, size, attempt). Returns the row that stands. */
export function storeContractPrepared(db: Db, attempt: NewAttempt): Promise<AttemptRow> {
  const { origin, size, transactionId, prepared, signedBytes, now } = attempt;
  return inTransaction(db, async (tx) => {
    await lock(tx, attempt);
    const { rowCount } = await tx.query(
      `INSERT INTO contract_attempts (origin, size, attempt, state, transaction_id, prepared, signed_bytes, created_at, updated_at)
       VALUES ($1, $2::bigint, $3, 'PREPARED', $4, $5, $6, $7, $7) ON CONFLICT (origin, size, attempt) DO NOTHING`,
      [origin, size.toString(), attempt.attempt, transactionId, JSON.stringify(prepared), signedBytes, now],
    );
    if (rowCount === 1)
      await tx.query(
        `UPDATE contract_anchors SET state = 'PREPARED', attempt = $3, failure = NULL, updated_at = $4 WHERE origin = $1 AND size = $2::bigint`,
        [origin, size.toString(), attempt.attempt, now],
      );
    const row = await readContractAttempt(tx, attempt);
    if (row === undefined) throw new Error(`attempt ${attempt.attempt} of contract anchor ${size} vanished`);
    return row;
  });
}

/** Moves an attempt and its anchor, if it may come into that state from where it is; alarms where a person must look. Key (origin, size, attempt, state). */
export function moveContractAttempt(db: Db, change: AttemptChange): Promise<'moved' | 'kept'> {
  return inTransaction(db, async (tx) => {
    await lock(tx, change);
    const moved = await move(tx, change);
    const kind = ALARM_OF[change.state];
    if (moved === 'moved' && kind !== undefined)
      await raiseAlarm(tx, {
        kind,
        subject: contractAlarmSubject(change),
        detail: { attempt: change.attempt, status: change.failure?.status ?? change.state },
        at: change.now,
      });
    return moved;
  });
}

export interface VerifiedContractAnchor extends AttemptKey {
  readonly entry: ContractAnchorEntry;
  readonly confirmation: unknown;
  readonly now: string;
}

/** The entry stands; where proofs rest on it, what is covered follows in the same transaction. Key (origin, size): the first entry is kept. */
export function recordContractVerified(db: Db, verified: VerifiedContractAnchor): Promise<'moved' | 'kept'> {
  return inTransaction(db, async (tx) => {
    await lock(tx, verified);
    const moved = await move(tx, { ...verified, state: 'VERIFIED' });
    if (moved === 'moved') await coverByContract(tx, verified);
    return moved;
  });
}

/** What a contract anchor that stands brings: its entry, and where proofs rest on it, what is covered. It is locked and has just become VERIFIED. */
export async function coverByContract(tx: Tx, verified: VerifiedContractAnchor): Promise<void> {
  const { origin, size, entry, now } = verified;
  const { rows } = await tx.query<{ carries_proofs: boolean }>(
    'UPDATE contract_anchors SET entry = coalesce(entry, $3) WHERE origin = $1 AND size = $2::bigint RETURNING carries_proofs',
    [origin, size.toString(), JSON.stringify(entry)],
  );
  if (rows[0]?.carries_proofs === true)
    await tx.query(
      `INSERT INTO log_progress (origin, anchored_size) VALUES ($1, $2::bigint)
       ON CONFLICT (origin) DO UPDATE SET anchored_size = greatest(log_progress.anchored_size, excluded.anchored_size)`,
      [origin, size.toString()],
    );
  await endAlarms(tx, contractAlarmSubject(verified), now);
}

export interface CoveringContractAnchor {
  readonly size: bigint;
  readonly entry: ContractAnchorEntry;
  readonly note: string;
}

/** The anchor of a leaf in a bundle: the one at `named` consensus time if a certificate names one, else the earliest that covers it. */
export async function readCoveringContractAnchor(
  db: Queryable,
  input: { readonly origin: string; readonly index: bigint; readonly named: string | undefined },
): Promise<CoveringContractAnchor | undefined> {
  const { rows } = await db.query<CoveringContractAnchor>(
    `SELECT a.size, a.entry, k.note FROM contract_anchors a JOIN checkpoints k USING (origin, size)
     WHERE a.origin = $1 AND a.state = 'VERIFIED' AND a.size > $2::bigint AND k.note IS NOT NULL
     ORDER BY (a.entry ->> 'consensusTimestamp' = $3) DESC NULLS LAST, a.size LIMIT 1`,
    [input.origin, input.index.toString(), input.named ?? null],
  );
  return rows[0];
}

/** What alarms about a contract anchor name: its workflow. */
export function contractAlarmSubject({ origin, size }: AnchorKey): string {
  return workflowIds.anchorContract(origin, size);
}

async function lock(tx: Tx, { origin, size }: AnchorKey): Promise<void> {
  const { rowCount } = await tx.query(
    'SELECT FROM contract_anchors WHERE origin = $1 AND size = $2::bigint FOR UPDATE',
    [origin, size.toString()],
  );
  if (rowCount !== 1) throw new Error(`no contract anchor of ${origin} at ${size}`);
}

async function move(
  tx: Tx,
  change: Omit<AttemptChange, 'state'> & { readonly state: AttemptState },
): Promise<'moved' | 'kept'> {
  const { origin, size, attempt, state, now } = change;
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  const { rowCount } = await tx.query(
    `UPDATE contract_attempts SET state = $4, updated_at = $5, confirmation = coalesce($6, confirmation), failure = $7
     WHERE origin = $1 AND size = $2::bigint AND attempt = $3 AND state = ANY ($8::text[])`,
    [origin, size.toString(), attempt, state, now, json(change.confirmation), json(change.failure), FROM[state]],
  );
  if (rowCount !== 1) return 'kept';
  await tx.query(
    `UPDATE contract_anchors SET state = $4, failure = $5, updated_at = $6 WHERE origin = $1 AND size = $2::bigint AND attempt = $3 AND state <> 'VERIFIED'`,
    [origin, size.toString(), attempt, ANCHOR_STATE[state], json(change.failure), now],
  );
  return 'moved';
}
