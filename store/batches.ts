import { type BatchId, workflowIds } from '../domain/ids.ts';
import { CROWD, type Lane } from '../domain/lane.ts';
import type { AnchorPolicy } from '../domain/states.ts';
import { enqueueMotion, type Motion } from './outbox.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';

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

/** The tenants of a batch as Temporal shows them. */
export function shownTenants(all: readonly string[]): readonly string[] {
  const distinct = [...new Set(all)];
  return distinct.length > SHOWN_TENANTS ? ['many'] : distinct;
}

/** What whoever begins to work on a batch finds. */
export interface FoundBatch {
  /** Proofs may still join, whatever the hour: false once, false for ever. */
  readonly mayGrow: boolean;
  /** Somebody was here before: a run that is gone, or an attempt. What it was told to look for, it may have taken along. */
  readonly isRepeated: boolean;
  readonly lane: Lane;
}

/** The batch as it is before anything is done about it. */
export async function findBatch(db: Db, batch: BatchId): Promise<FoundBatch> {
  const { rows } = await db.query<FoundBatch>(
    `SELECT b.state = 'FORMED' AND b.joinable_until IS NOT NULL AS "mayGrow", b.state <> 'FORMED' OR b.generation > 1 AS "isRepeated", b.lane FROM batches b WHERE b.id = $1`,
    [batch],
  );
  return rows[0] ?? { mayGrow: false, isRepeated: false, lane: 'prompt' };
}

/**
 * Whether a batch of these lanes was formed after `since` (RFC 3339) and is on its way: to its seal, or without a ledger's
 * window before it, to its end.
 */
export async function isUnderWay(db: Db, lanes: readonly Lane[], since: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT FROM batches WHERE state <> 'CLOSED' AND formed_at > $1 AND lane = ANY ($2::text[]) AND (state = 'FORMED' OR anchor_policy = 'NONE')) AS found",
    [since, lanes],
  );
  return rows[0]?.found === true;
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

/** Signals of a batch. Each says only "look"; the name is for whoever reads the history. */
export type WakeName = 'evidenceComplete' | 'licencesGranted' | 'commandsApplied';

/** The outbox row that tells a run of a batch to look. */
export function wakeOf(batch: BatchId, generation: number, name: WakeName): Motion {
  return { kind: 'signal', workflowId: workflowIds.certifyBatch(batch, generation), name, payload: {} };
}

/** Whether a batch's evidence is complete for its policy, and when its earliest waiting PREFERRED member gives up. */
export interface EvidenceArm {
  readonly complete: boolean;
  /** RFC 3339; null when nobody waits for a deadline. */
  readonly deadline: string | null;
}

/**
 * Asks, under the lock that `advanceEvidence` holds while it decides, whether the batch's evidence is complete; if
 * not, arms it to be woken once; either way it has looked. Whatever lands later then finds it armed: the two cannot miss
 * each other. Everybody's evidence waits for that lock, so members are read of PREFERRED batches alone. Lock order:
 * log_progress, then the batch row.
 */
export async function armBatch(tx: Tx, batch: BatchId, origin: string, now: string): Promise<EvidenceArm> {
  const { rows: progress } = await tx.query(
    'SELECT timestamp_cursor, anchor_cursor FROM log_progress WHERE origin = $1 FOR UPDATE',
    [origin],
  );
  const { rows } = await tx.query(
    `UPDATE batches b SET anchor_deadline = w.deadline, is_woken = false, evidence_complete_at = CASE WHEN w.complete THEN $4::timestamptz END
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

/**
 * The batch has all the seals it will get. Frees its place among the unsealed and counts who was a crowd in it; tells the
 * relay, the integrator and whoever stamps. Key (batch). Returns how many members it has.
 */
export async function markSealed(tx: Tx, batch: BatchId, now: string): Promise<number> {
  const { rows } = await tx.query<{ proof_count: number }>(
    `UPDATE batches SET state = CASE state WHEN 'FORMED' THEN 'SEALED' ELSE state END, sealed_at = coalesce(sealed_at, $2),
       crowd = CASE WHEN lane = 'large' THEN crowd ELSE ARRAY(
         SELECT tenant_id FROM submissions WHERE batch_id = $1 GROUP BY tenant_id HAVING sum(proof_count) >= $3) END
     WHERE id = $1 RETURNING proof_count`,
    [batch, now, CROWD],
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
       (SELECT count(*)::int FROM certificates WHERE batch_id = $1 AND signature IS NULL) AS unsigned,
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
      former.map((generation) => wakeOf(batch, generation, 'commandsApplied')),
      now,
    );
  }
  return left;
}

/** An open batch, for the reconciler. */
export interface OpenBatch extends BatchStart {
  readonly formedAt: string;
}

/** Where a page of open batches ended. */
export interface OpenBatchCursor {
  readonly formedAt: string;
  readonly id: string;
}

// At rest a batch waits for its evidence or for a licence, and is told when it is to look.
const OPEN = {
  moving: "(b.state = 'FORMED' OR b.is_woken)",
  resting: "b.state = 'SEALED' AND NOT b.is_woken",
} as const;

/** Open batches formed before `before`, oldest first, after the cursor; at most `limit`. One whose start is still owed is none. */
export async function readOpenBatches(
  db: Db,
  options: {
    readonly who: keyof typeof OPEN;
    /** RFC 3339. */
    readonly before: string;
    readonly after?: OpenBatchCursor | undefined;
    readonly limit: number;
  },
): Promise<readonly OpenBatch[]> {
  const { who, before, after, limit } = options;
  const { rows } = await db.query(
    `SELECT b.id AS "batchId", b.generation, b.proof_count AS "proofCount", b.anchor_policy AS "anchorPolicy", b.formed_at AS "formedAt",
       (SELECT array_agg(DISTINCT m.tenant_id::text) FROM (
         SELECT s.tenant_id FROM submissions s WHERE s.batch_id = b.id UNION ALL SELECT p.tenant_id FROM proofs p WHERE p.batch_id = b.id) m) AS tenants
     FROM batches b WHERE b.state <> 'CLOSED' AND ${OPEN[who]} AND b.formed_at < $1
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
