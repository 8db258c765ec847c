import type { BatchId, SubmissionId, TenantId } from '../domain/ids.ts';
import { CROWD, LANES, type Lane } from '../domain/lane.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { shownTenants, startOf } from './batches.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { joinBatch, takeRetries } from './retries.ts';
import { countProofs, takeSubmissions, tryTakeTurn } from './take-submissions.ts';

/** Proofs that one batch carries, unless it is one large submission. */
export const BATCH_CAPACITY = 2_000;
/** Of each lane so many are sealed at once; whoever sends a hundred thousand proofs leaves the other places before the seal to everybody else. */
const MAX_UNSEALED: Readonly<Record<Exclude<Lane, 'prompt'>, number>> = { crowd: 4, large: 2 };

/** The lane of the batch that was formed, or why none was. */
export type FormOutcome = Lane | 'nothing' | 'full' | 'busy';

/**
 * Forms one batch of what waits, if fewer than `maxUnsealed` are before their seal, and owes its start to Temporal:
 * all in one transaction. The class and lane with the fewest batches there comes first, the one that waits longest among
 * equals; one that has a batch to join until after `notJoinableAt` is left to that batch. One former at a time; another
 * finds `busy`. Locks: the advisory lock, then queue rows.
 */
export function formBatch(
  db: Db,
  options: {
    readonly newId: () => string;
    readonly now: string;
    readonly maxUnsealed: number;
    /** RFC 3339, by lane. Until when others may join the batch; without it, its members are final. */
    readonly joinableUntil?: Partial<Readonly<Record<Lane, string>>>;
    /** RFC 3339; `now` unless given. Later, so that a successor begins before its predecessor is shut. */
    readonly notJoinableAt?: string | undefined;
  },
): Promise<FormOutcome> {
  return inTransaction(db, async (tx) => {
    if (!(await tryTakeTurn(tx))) return 'busy';
    const { rows: unsealed } = await tx.query<{ lane: Lane; of_retries: boolean }>(
      "SELECT lane, of_retries FROM batches WHERE state = 'FORMED' LIMIT $1",
      [options.maxUnsealed],
    );
    if (unsealed.length >= options.maxUnsealed) return 'full';
    const hasPlace = (lane: Lane): boolean =>
      lane === 'prompt' || unsealed.filter((batch) => batch.lane === lane).length < MAX_UNSEALED[lane];
    // Retries hold at most one place before the seal, however many there are: they delay nobody by more than their batch.
    const retries = unsealed.some((batch) => batch.of_retries) ? undefined : await takeRetries(tx, BATCH_CAPACITY);
    const id = options.newId() as BatchId;
    if (retries !== undefined) {
      const lane = retries.proofs.length < CROWD ? 'prompt' : 'crowd';
      const proofCount = retries.proofs.length;
      const batch = await insertBatch(
        tx,
        { id, ...retries, proofCount, ofRetries: true, lane, crowd: [] },
        options.now,
      );
      await joinBatch(tx, batch, retries.proofs);
      return lane;
    }
    const taken = await takeSubmissions(tx, {
      for: 'new-batch',
      room: BATCH_CAPACITY,
      batch: id,
      notJoinableAt: options.notJoinableAt ?? options.now,
      lanes: LANES.filter(hasPlace),
      now: options.now,
    });
    const first = taken[0];
    if (first === undefined) return 'nothing';
    const submissions = taken.map((row) => row.submission_id);
    const tenants = taken.map((row) => row.tenant_id);
    const proofCount = countProofs(taken);
    const { lane } = first;
    const batch = await insertBatch(
      tx,
      {
        id,
        anchorPolicy: first.anchor_policy,
        anchorWindow: first.anchor_window,
        proofCount,
        tenants,
        submissions,
        ofRetries: false,
        lane,
        // Until it is sealed, all of them: those who join are not counted yet.
        crowd: lane === 'prompt' ? [] : [...new Set(tenants)],
        joinableUntil: proofCount >= BATCH_CAPACITY ? undefined : options.joinableUntil?.[lane],
      },
      options.now,
    );
    await tx.query('UPDATE submissions SET batch_id = $1 WHERE id = ANY ($2::uuid[])', [batch, submissions]);
    return lane;
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
  readonly lane: Lane;
  readonly crowd: readonly TenantId[];
  /** RFC 3339; absent where the members are final. */
  readonly joinableUntil?: string | undefined;
}

/** The batch row and the start that it owes to Temporal. */
async function insertBatch(tx: Tx, batch: NewBatch, now: string): Promise<BatchId> {
  const { id: batchId, anchorPolicy, anchorWindow, proofCount, ofRetries, joinableUntil, lane, crowd } = batch;
  await tx.query(
    `INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, of_retries, anchor_deadline, formed_at, joinable_until, lane, crowd)
     SELECT $1, $2, $3, $4, $5, min(anchor_deadline), $6, $8, $9, $10 FROM submissions WHERE id = ANY ($7::uuid[])`,
    [
      batchId,
      anchorPolicy,
      anchorWindow,
      proofCount,
      ofRetries,
      now,
      batch.submissions,
      joinableUntil ?? null,
      lane,
      crowd,
    ],
  );
  const tenantIds = shownTenants(batch.tenants);
  await enqueueMotion(
    tx,
    [startOf({ batchId, generation: 1, proofCount, anchorPolicy, tenantIds, mayGrow: joinableUntil !== undefined })],
    now,
  );
  return batchId;
}
