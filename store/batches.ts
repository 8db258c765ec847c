import { type BatchId, type SubmissionId, type TenantId, workflowIds } from '../domain/ids.ts';
import type { AnchorPolicy, AnchorWindow } from '../domain/states.ts';
import { enqueueMotion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { joinBatch, takeRetries } from './retries.ts';

/** Proofs that one batch carries, unless it is one submission above `LONE_SUBMISSION`. */
export const BATCH_CAPACITY = 2_000;
/** A submission with more proofs than this travels alone. */
export const LONE_SUBMISSION = 1_000;
/**
 * Of those, so many are sealed at once: two keep the signer and the store busy, and whoever sends a hundred thousand
 * proofs leaves the other places before the seal to everybody else.
 */
const MAX_LONE_BATCHES = 2;
/** Tenant ids shown in Temporal; beyond these `many` stands for all. */
const SHOWN_TENANTS = 16;

/** What `certifyBatch` is started with. */
export interface BatchStart {
  readonly batchId: BatchId;
  readonly generation: number;
  readonly proofCount: number;
  readonly anchorPolicy: AnchorPolicy;
  readonly tenantIds: readonly string[];
  /** Others may join while it is sealed. */
  readonly mayGrow?: boolean;
}

// A loose index scan finds the heads of all (class, tenant), so that a backlog of a million rows costs no more than its
// tenants. Of the class whose turn it is submissions are read in rounds, one of each tenant a round, and no more rounds
// than fill a batch: a recursive query runs as far as it is read. Places before the seal are shared between classes,
// those of large submissions between tenants: no flood takes each place that comes free. Within a batch each tenant's
// submissions stand where their proofs, summed up, put them: whoever asks for no more than an equal share is in it,
// however many large submissions of others wait. So that those starve no more than they let starve, one of the heads
// above half such a share goes before all, by lot ($7): the age of a head would give it to the oldest backlog until that
// is gone. Those who join a batch of a given class ($3, $4) stand in that order without a lot: the next batch may begin
// with whoever was too large for the room left.
const TAKE = `
  WITH RECURSIVE heads AS (
    (SELECT anchor_policy, anchor_window, tenant_id, received_at, submission_id, proof_count FROM submission_queue
     ORDER BY anchor_policy, anchor_window, tenant_id, received_at, submission_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM heads h, LATERAL (
      SELECT q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id, q.proof_count FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.tenant_id) > (h.anchor_policy, h.anchor_window, h.tenant_id)
      ORDER BY q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
  ), unsealed AS MATERIALIZED (
    SELECT b.anchor_policy, b.anchor_window, b.joinable_until, CASE WHEN m.proof_count > $2 THEN m.tenant_id END AS lone_tenant
    FROM batches b LEFT JOIN LATERAL (SELECT s.tenant_id, s.proof_count FROM submissions s WHERE s.batch_id = b.id LIMIT 1) m ON true
    WHERE b.state = 'FORMED'
  ), turn AS MATERIALIZED (
    SELECT anchor_policy, anchor_window, proof_count > $2 AND $6 AS alone FROM heads h
    WHERE CASE WHEN $3::anchor_policy IS NOT NULL THEN h.anchor_policy = $3 AND h.anchor_window = $4
      WHEN h.proof_count > $2 THEN $6
      ELSE NOT EXISTS (SELECT FROM unsealed u WHERE u.joinable_until > $5 AND u.anchor_policy = h.anchor_policy AND u.anchor_window = h.anchor_window) END
    ORDER BY CASE WHEN $3 IS NULL THEN (
        SELECT count(*) FROM unsealed u WHERE CASE WHEN h.proof_count > $2 THEN u.lone_tenant = h.tenant_id
          ELSE u.lone_tenant IS NULL AND u.anchor_policy = h.anchor_policy AND u.anchor_window = h.anchor_window END) END,
      received_at LIMIT 1
  ), leader AS MATERIALIZED (
    SELECT h.submission_id FROM turn t, heads h
    WHERE $3 IS NULL AND CASE WHEN t.alone THEN h.proof_count > $2
      ELSE h.proof_count <= $2 AND h.anchor_policy = t.anchor_policy AND h.anchor_window = t.anchor_window END
    ORDER BY CASE WHEN t.alone THEN (SELECT count(*) FROM unsealed u WHERE u.lone_tenant = h.tenant_id)
      ELSE (2 * h.proof_count * count(*) OVER () <= $1)::int END, md5(h.tenant_id || $7::text) LIMIT 1
  ), asking AS (
    SELECT h.tenant_id, h.received_at, h.submission_id, h.proof_count, CASE WHEN h.proof_count <= $2 THEN h.proof_count ELSE 0 END::bigint AS asked
    FROM turn t JOIN heads h USING (anchor_policy, anchor_window) WHERE NOT t.alone
    UNION ALL
    SELECT n.tenant_id, n.received_at, n.submission_id, n.proof_count, a.asked + n.proof_count
    FROM asking a, turn t, LATERAL (
      SELECT q.* FROM submission_queue q
      WHERE (q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id)
        > (t.anchor_policy, t.anchor_window, a.tenant_id, a.received_at, a.submission_id) AND q.proof_count <= $2
      ORDER BY q.anchor_policy, q.anchor_window, q.tenant_id, q.received_at, q.submission_id LIMIT 1) n
    WHERE a.asked < $1 AND n.tenant_id = a.tenant_id AND n.anchor_policy = t.anchor_policy AND n.anchor_window = t.anchor_window
  ), waiting AS MATERIALIZED (
    SELECT * FROM asking LIMIT $1 + (SELECT count(*) FROM heads)
  ), placed AS (
    SELECT w.submission_id, sum(w.proof_count) OVER (
      ORDER BY l.submission_id NULLS LAST, w.asked, w.received_at, w.submission_id ROWS UNBOUNDED PRECEDING) AS running
    FROM waiting w LEFT JOIN leader l USING (submission_id) WHERE w.proof_count <= $2
  )
  DELETE FROM submission_queue WHERE submission_id = ANY (ARRAY(
    SELECT submission_id FROM placed WHERE running <= $1 UNION ALL SELECT l.submission_id FROM turn, leader l WHERE alone))
  RETURNING submission_id, tenant_id, proof_count, anchor_policy, anchor_window`;

interface TakenRow {
  readonly submission_id: SubmissionId;
  readonly tenant_id: TenantId;
  readonly proof_count: number;
  readonly anchor_policy: AnchorPolicy;
  readonly anchor_window: AnchorWindow;
}

/** One at a time takes from the queue. */
async function tryTakeTurn(tx: Tx): Promise<boolean> {
  const { rows } = await tx.query("SELECT pg_try_advisory_xact_lock(hashtext('proofline.form_batch')) AS held");
  return rows[0].held;
}

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
      `SELECT count(*)::int AS n, coalesce(bool_or(of_retries), false) AS retrying,
         count(*) FILTER (WHERE $2 < (SELECT s.proof_count FROM submissions s WHERE s.batch_id = b.id LIMIT 1))::int AS lone
       FROM (SELECT id, of_retries FROM batches WHERE state = 'FORMED' LIMIT $1) b`,
      [options.maxUnsealed, LONE_SUBMISSION],
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
    const { rows: taken } = await tx.query<TakenRow>(TAKE, [
      BATCH_CAPACITY,
      LONE_SUBMISSION,
      null,
      null,
      options.notJoinableAt ?? options.now,
      unsealed[0].lone < MAX_LONE_BATCHES,
      id,
    ]);
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

function countProofs(taken: readonly TakenRow[]): number {
  return taken.reduce((sum, row) => sum + row.proof_count, 0);
}

const IS_LARGE = `(b.proof_count > ${LONE_SUBMISSION} AND EXISTS (SELECT FROM submissions s WHERE s.batch_id = b.id AND s.proof_count > ${LONE_SUBMISSION}))`;

/** What whoever begins to work on a batch finds. */
export interface FoundBatch {
  /** Proofs may still join, whatever the hour: false once, false for ever. */
  readonly mayGrow: boolean;
  /** Somebody was here before: a run that is gone, or an attempt. What it was told to look for, it may have taken along. */
  readonly isRepeated: boolean;
  /** It carries a submission above `LONE_SUBMISSION`. */
  readonly isLarge: boolean;
}

/** The batch as it is before anything is done about it. */
export async function findBatch(db: Db, batch: BatchId): Promise<FoundBatch> {
  const { rows } = await db.query<FoundBatch>(
    `SELECT b.state = 'FORMED' AND b.joinable_until IS NOT NULL AS "mayGrow", b.state <> 'FORMED' OR b.generation > 1 AS "isRepeated",
       ${IS_LARGE} AS "isLarge" FROM batches b WHERE b.id = $1`,
    [batch],
  );
  return rows[0] ?? { mayGrow: false, isRepeated: false, isLarge: false };
}

/** Whether a batch without a large submission was formed after `since` (RFC 3339) and has not reached its end. */
export async function isSmallUnderWay(db: Db, since: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM batches b WHERE b.state <> 'CLOSED' AND b.formed_at > $1 AND NOT ${IS_LARGE}) AS found`,
    [since],
  );
  return rows[0]?.found === true;
}

/** Whether somebody waits who may join the batch: `shut` once its time is over or it is full. A cheap look before `takeJoiners`. */
export async function lookForJoiners(
  db: Db,
  { batch, now }: { readonly batch: BatchId; readonly now: string },
): Promise<'some' | 'none' | 'shut'> {
  const { rows } = await db.query<{ waits: boolean }>(
    `SELECT EXISTS (SELECT FROM submission_queue q WHERE q.anchor_policy = b.anchor_policy AND q.anchor_window = b.anchor_window) AS waits
     FROM batches b WHERE b.id = $1 AND b.state = 'FORMED' AND b.joinable_until > $2`,
    [batch, now],
  );
  if (rows[0] === undefined) return 'shut';
  return rows[0].waits ? 'some' : 'none';
}

/**
 * Adds to a joinable batch what waits of its class, up to its capacity. Returns the submissions that joined. Locks: the
 * advisory lock, queue rows, the batch row. Key (submission): it leaves the queue once.
 */
export async function takeJoiners(
  tx: Tx,
  { batch, now }: { readonly batch: BatchId; readonly now: string },
): Promise<readonly SubmissionId[]> {
  if (!(await tryTakeTurn(tx))) return [];
  const { rows: open } = await tx.query<{ anchor_policy: string; anchor_window: string; room: number }>(
    `SELECT anchor_policy, anchor_window, $3::int - proof_count AS room FROM batches
     WHERE id = $1 AND state = 'FORMED' AND joinable_until > $2 FOR UPDATE`,
    [batch, now, BATCH_CAPACITY],
  );
  if (open[0] === undefined) return [];
  const { anchor_policy, anchor_window, room } = open[0];
  const { rows: taken } = await tx.query<TakenRow>(TAKE, [
    room,
    LONE_SUBMISSION,
    anchor_policy,
    anchor_window,
    null,
    false,
    null,
  ]);
  const submissions = taken.map((row) => row.submission_id);
  // Shut when it is full, or has too little room for the next: whoever waits behind it is the relay's again.
  const { rows: kept } = await tx.query<{ is_open: boolean }>(
    `WITH joined AS (UPDATE submissions SET batch_id = $1 WHERE id = ANY ($4::uuid[]) RETURNING anchor_deadline)
     UPDATE batches b SET proof_count = proof_count + $2, anchor_deadline = least(b.anchor_deadline, j.deadline),
       joinable_until = CASE WHEN proof_count + $2 < $3 AND ($2 > 0 OR $3 - proof_count >= $5) THEN joinable_until END
     FROM (SELECT min(anchor_deadline) AS deadline FROM joined) j WHERE b.id = $1 RETURNING joinable_until IS NOT NULL AS is_open`,
    [batch, countProofs(taken), BATCH_CAPACITY, submissions, LONE_SUBMISSION],
  );
  if (kept[0]?.is_open !== true) await tx.query("SELECT pg_notify('proofline_intake', '')");
  return submissions;
}

/** Nobody joins the batch from here on. Key (batch). */
export async function shutBatch(db: Db, batch: BatchId): Promise<void> {
  await db.query('UPDATE batches SET joinable_until = NULL WHERE id = $1 AND joinable_until IS NOT NULL', [batch]);
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

/** The outbox row that starts a batch's workflow. */
export function startOf(start: BatchStart): { kind: 'start'; workflowId: string; name: string; payload: BatchStart } {
  return {
    kind: 'start',
    workflowId: workflowIds.certifyBatch(start.batchId, start.generation),
    name: 'certifyBatch',
    payload: start,
  };
}

function shownTenants(all: readonly TenantId[]): readonly string[] {
  const distinct = [...new Set(all)];
  return distinct.length > SHOWN_TENANTS ? ['many'] : distinct;
}

/** Whether a batch's evidence is complete for its policy, and when its earliest waiting PREFERRED member gives up. */
export interface EvidenceArm {
  readonly complete: boolean;
  /** RFC 3339; null when nobody waits for a deadline. */
  readonly deadline: string | null;
}

/**
 * Asks, under the lock that `advanceEvidence` holds while it decides, whether the batch's evidence is complete; if
 * not, arms it to be woken once. Whatever lands later then finds it armed: the two cannot miss each other. Everybody's
 * evidence waits for that lock, so members are read of PREFERRED batches alone. Lock order: log_progress, then the batch row.
 */
export async function armBatch(tx: Tx, batch: BatchId, origin: string, now: string): Promise<EvidenceArm> {
  const { rows: progress } = await tx.query(
    'SELECT timestamp_cursor, anchor_cursor FROM log_progress WHERE origin = $1 FOR UPDATE',
    [origin],
  );
  const { rows } = await tx.query(
    `UPDATE batches b SET anchor_deadline = w.deadline, evidence_complete_at = CASE WHEN w.complete THEN $4::timestamptz END
     FROM (
       SELECT a.id, d.deadline, a.leaves_pending = 0 AND coalesce(a.max_leaf_index, -1) < $2::bigint
         AND (a.anchor_policy = 'NONE' OR coalesce(a.max_leaf_index, -1) < $3::bigint OR coalesce(d.deadline <= $4::timestamptz, false)) AS complete
       FROM batches a, LATERAL (
         SELECT CASE WHEN a.anchor_policy = 'PREFERRED' THEN (
           SELECT min(p.anchor_deadline) FROM seals s JOIN proofs p ON p.id = s.proof_id
           WHERE s.batch_id = a.id AND p.state IN ('SEALED', 'TIMESTAMPED')
             AND NOT EXISTS (SELECT FROM licence_queue q WHERE q.proof_id = p.id) AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)) END AS deadline) d
       WHERE a.id = $1) w
     WHERE b.id = w.id RETURNING w.complete, w.deadline`,
    [batch, (progress[0]?.timestamp_cursor ?? 0n).toString(), (progress[0]?.anchor_cursor ?? 0n).toString(), now],
  );
  return { complete: rows[0].complete, deadline: rows[0].deadline };
}

/** The batch has all the seals it will get. Frees its place among the unsealed; tells the relay, the integrator and whoever stamps. Key (batch). Returns how many members it has. */
export async function markSealed(tx: Tx, batch: BatchId, now: string): Promise<number> {
  const { rows } = await tx.query<{ proof_count: number }>(
    `UPDATE batches SET state = CASE state WHEN 'FORMED' THEN 'SEALED' ELSE state END, sealed_at = coalesce(sealed_at, $2)
     WHERE id = $1 RETURNING proof_count`,
    [batch, now],
  );
  await tx.query(
    "SELECT pg_notify('proofline_intake', ''), pg_notify('proofline_sealed', ''), pg_notify('proofline_stampable', '')",
  );
  return rows[0]?.proof_count ?? 0;
}

/** What keeps a batch open. */
export interface BatchRemainder {
  readonly awaitingEvidence: number;
  readonly awaitingLicence: number;
  readonly unsigned: number;
}

/**
 * Counts what the batch still has to bring to an end; closes it when there is nothing, and tells former runs, of which an
 * operator may have set one going again, to look and end. Key (batch).
 */
export async function closeIfDone(tx: Tx, batch: BatchId, now: string): Promise<BatchRemainder> {
  const { rows } = await tx.query(
    `SELECT
       (SELECT count(*)::int FROM licence_queue WHERE batch_id = $1) AS licence,
       (SELECT count(*)::int FROM certificates WHERE batch_id = $1 AND jws IS NULL) AS unsigned,
       (SELECT count(*)::int FROM seals s JOIN proofs p ON p.id = s.proof_id WHERE s.batch_id = $1 AND p.state IN ('RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED')
          AND NOT EXISTS (SELECT FROM licence_queue q WHERE q.proof_id = p.id) AND NOT EXISTS (SELECT FROM certificates c WHERE c.proof_id = p.id)) AS evidence`,
    [batch],
  );
  const left = { awaitingEvidence: rows[0].evidence, awaitingLicence: rows[0].licence, unsigned: rows[0].unsigned };
  if (left.awaitingEvidence + left.awaitingLicence + left.unsigned === 0) {
    const { rows: closed } = await tx.query<{ generation: number }>(
      "UPDATE batches SET state = 'CLOSED', closed_at = $2 WHERE id = $1 AND state = 'SEALED' RETURNING generation",
      [batch, now],
    );
    const former = Array.from({ length: (closed[0]?.generation ?? 1) - 1 }, (_, n) => n + 1);
    await enqueueMotion(
      tx,
      former.map((generation) => ({
        kind: 'signal' as const,
        workflowId: workflowIds.certifyBatch(batch, generation),
        name: 'commandsApplied',
        payload: {},
      })),
      now,
    );
  }
  return left;
}

/** An open batch, for the reconciler. */
export interface OpenBatch extends BatchStart {
  readonly formedAt: string;
}

/** Open batches formed before `before`, oldest first, after the cursor; at most `limit`. */
export async function readOpenBatches(
  db: Db,
  before: string,
  after: { formedAt: string; id: string } | undefined,
  limit: number,
): Promise<readonly OpenBatch[]> {
  const { rows } = await db.query(
    `SELECT b.id AS "batchId", b.generation, b.proof_count AS "proofCount", b.anchor_policy AS "anchorPolicy", b.formed_at AS "formedAt",
       (SELECT array_agg(DISTINCT m.tenant_id::text) FROM (
         SELECT s.tenant_id FROM submissions s WHERE s.batch_id = b.id UNION ALL SELECT p.tenant_id FROM proofs p WHERE p.batch_id = b.id) m) AS tenants
     FROM batches b WHERE b.state <> 'CLOSED' AND b.formed_at < $1
       AND NOT EXISTS (SELECT FROM outbox o WHERE o.kind = 'start' AND o.payload ->> 'batchId' = b.id::text) AND (b.formed_at, b.id) > ($2, $3) ORDER BY b.formed_at, b.id LIMIT $4`,
    [before, after?.formedAt ?? '-infinity', after?.id ?? '00000000-0000-0000-0000-000000000000', limit],
  );
  return rows.map(({ tenants, ...row }) => ({ ...row, tenantIds: shownTenants(tenants ?? []) }));
}

/** Owes Temporal a new run of a batch whose run is gone. Key (batch, generation): of two reconcilers one wins. */
export function restartBatch(db: Db, batch: BatchStart, now: string): Promise<'restarted' | 'no-longer-open'> {
  return inTransaction(db, async (tx) => {
    const { rowCount } = await tx.query(
      "UPDATE batches SET generation = generation + 1 WHERE id = $1 AND generation = $2 AND state <> 'CLOSED'",
      [batch.batchId, batch.generation],
    );
    if (rowCount !== 1) return 'no-longer-open';
    const { batchId, proofCount, anchorPolicy, tenantIds } = batch;
    await enqueueMotion(
      tx,
      [startOf({ batchId, generation: batch.generation + 1, proofCount, anchorPolicy, tenantIds })],
      now,
    );
    return 'restarted';
  });
}
