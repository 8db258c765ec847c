import type { BatchId, SubmissionId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { IS_LARGE, LONE_SUBMISSION, shownTenants, startOf } from './batches.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { joinBatch, takeRetries } from './retries.ts';
import { countProofs, takeSubmissions, tryTakeTurn } from './take-submissions.ts';

/** Proofs that one batch carries, unless it is one submission above `LONE_SUBMISSION`. */
export const BATCH_CAPACITY = 2_000;
/**
 * Of submissions above `LONE_SUBMISSION`, so many are sealed at once: two keep the signer and the store busy, and whoever sends a hundred thousand
 * proofs leaves the other places before the seal to everybody else.
 */
const MAX_LONE_BATCHES = 2;

/**
 * Forms one batch of what waits, if fewer than `maxUnsealed` are before their seal, and owes its start to Temporal:
 * all in one transaction. The class with the fewest batches there comes first, the one that waits longest among equals;
 * one that has a batch to join until after `notJoinableAt` is left to that batch. One former at a time; another finds
 * `busy`. `formed-lone` is of a large submission. Locks: the advisory lock, then queue rows.
 */
export function formBatch(
  db: Db,
  options: {
    readonly newId: () => string;
    readonly now: string;
    readonly maxUnsealed: number;
    /** RFC 3339. Until when others may join the batch; without it, its members are final. */
    readonly joinableUntil?: string | undefined;
    /** RFC 3339; `now` unless given. Later, so that a successor begins before its predecessor is shut. */
    readonly notJoinableAt?: string | undefined;
  },
): Promise<'formed' | 'formed-lone' | 'nothing' | 'full' | 'busy'> {
  return inTransaction(db, async (tx) => {
    if (!(await tryTakeTurn(tx))) return 'busy';
    const { rows: unsealed } = await tx.query(
      `SELECT count(*)::int AS n, coalesce(bool_or(of_retries), false) AS retrying, count(*) FILTER (WHERE ${IS_LARGE})::int AS lone
       FROM (SELECT id, of_retries FROM batches WHERE state = 'FORMED' LIMIT $1) b`,
      [options.maxUnsealed],
    );
    if (unsealed[0].n >= options.maxUnsealed) return 'full';
    // Retries hold at most one place before the seal, however many there are: they delay nobody by more than their batch.
    const retries = unsealed[0].retrying ? undefined : await takeRetries(tx, BATCH_CAPACITY);
    const id = options.newId() as BatchId;
    if (retries !== undefined) {
      const batch = await insertBatch(
        tx,
        { id, ...retries, proofCount: retries.proofs.length, ofRetries: true, joinableUntil: undefined },
        options.now,
      );
      await joinBatch(tx, batch, retries.proofs);
      return 'formed';
    }
    const taken = await takeSubmissions(tx, {
      for: 'new-batch',
      room: BATCH_CAPACITY,
      batch: id,
      notJoinableAt: options.notJoinableAt ?? options.now,
      mayTakeLarge: unsealed[0].lone < MAX_LONE_BATCHES,
    });
    const first = taken[0];
    if (first === undefined) return 'nothing';
    const submissions = taken.map((row) => row.submission_id);
    const proofCount = countProofs(taken);
    const isLone = first.proof_count > LONE_SUBMISSION;
    const batch = await insertBatch(
      tx,
      {
        id,
        anchorPolicy: first.anchor_policy,
        anchorWindow: first.anchor_window,
        proofCount,
        tenants: taken.map((row) => row.tenant_id),
        submissions,
        ofRetries: false,
        joinableUntil: isLone || proofCount >= BATCH_CAPACITY ? undefined : options.joinableUntil,
      },
      options.now,
    );
    await tx.query('UPDATE submissions SET batch_id = $1 WHERE id = ANY ($2::uuid[])', [batch, submissions]);
    return isLone ? 'formed-lone' : 'formed';
  });
}

interface NewBatch {
  readonly id: BatchId;
  readonly anchorPolicy: AnchorPolicy;
  readonly anchorWindow: AnchorWindow;
  readonly proofCount: number;
  readonly tenants: readonly TenantId[];
  readonly submissions: readonly SubmissionId[];
  readonly ofRetries: boolean;
  /** RFC 3339; absent where the members are final. */
  readonly joinableUntil: string | undefined;
}

/** The batch row and the start that it owes to Temporal. */
async function insertBatch(tx: Tx, batch: NewBatch, now: string): Promise<BatchId> {
  const { id: batchId, anchorPolicy, anchorWindow, proofCount, ofRetries, joinableUntil } = batch;
  await tx.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, of_retries, anchor_deadline, formed_at, joinable_until)
     SELECT $1, $2, $3, $4, $5, min(anchor_deadline), $6, $8 FROM submissions WHERE id = ANY ($7::uuid[])`,
    [batchId, anchorPolicy, anchorWindow, proofCount, ofRetries, now, batch.submissions, joinableUntil ?? null],
  );
  const tenantIds = shownTenants(batch.tenants);
  await enqueueMotion(
    tx,
    [startOf({ batchId, generation: 1, proofCount, anchorPolicy, tenantIds, mayGrow: joinableUntil !== undefined })],
    now,
  );
  return batchId;
}
