import type { BatchId, ProofId, TenantId } from '../domain/ids.ts';
import { checkTransition, type ProofState } from '../domain/states.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { appendTimeline, type TimelineRow } from './timeline.ts';
import { wakeComplete } from './wake-batches.ts';

/** Leaf indices that one transaction moves. */
export const EVIDENCE_CHUNK = 2_000;

interface Moved {
  readonly batch_id: BatchId;
  readonly tenant_id: TenantId;
  readonly leaf_from: bigint;
  readonly leaf_to: bigint;
  readonly moved: number;
  /** Not moved, though evidence that comes later may still be noted. */
  readonly stayed: ProofId[] | null;
  /** Among them, those whose state an anchor leaves alone but whose timeline gains it. */
  readonly noted: ProofId[] | null;
}

const MOVE = `
  WITH l AS (SELECT index, proof_id, batch_id, tenant_id FROM leaves WHERE index >= $1::bigint AND index < $2::bigint),
  locked AS MATERIALIZED (SELECT p.id, p.state FROM proofs p JOIN l ON l.proof_id = p.id ORDER BY p.id FOR UPDATE OF p),
  moved AS (UPDATE proofs p SET state = $4::proof_state FROM locked k WHERE p.id = k.id AND k.state = $3::proof_state RETURNING p.id)
  SELECT l.batch_id, l.tenant_id, min(l.index) AS leaf_from, max(l.index) + 1 AS leaf_to, count(m.id)::int AS moved,
    array_agg(l.proof_id) FILTER (WHERE m.id IS NULL) AS stayed,
    array_agg(l.proof_id) FILTER (WHERE m.id IS NULL AND k.state IN ('AWAITING_LICENSE', 'CERTIFIED', 'CERTIFIED_NO_ANCHOR')) AS noted
  FROM l JOIN locked k ON k.id = l.proof_id LEFT JOIN moved m ON m.id = l.proof_id
  GROUP BY l.batch_id, l.tenant_id ORDER BY min(l.index)`;

/**
 * Applies what `log_progress` says is covered to the proofs under it, at most `EVIDENCE_CHUNK` leaves a transaction
 * from the persisted cursors, seal before timestamp before anchor; wakes the first of the batches that are complete. Idempotent: key (origin, cursor). Locks: log_progress, proofs by id, batches.
 * Returns true when more is left, so that the caller may heartbeat between chunks.
 */
export function advanceEvidence(db: Db, input: { readonly origin: string; readonly now: string }): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<
      Record<'timestamped_size' | 'anchored_size' | 'timestamp_cursor' | 'anchor_cursor', bigint>
    >(
      'SELECT timestamped_size, anchored_size, timestamp_cursor, anchor_cursor FROM log_progress WHERE origin = $1 FOR UPDATE',
      [input.origin],
    );
    const progress = rows[0];
    if (progress === undefined) return false;
    const timestampCursor = chunkEnd(progress.timestamp_cursor, progress.timestamped_size);
    if (timestampCursor > progress.timestamp_cursor)
      await applyTimestamp(tx, progress.timestamp_cursor, timestampCursor, input.now);
    // Evidence is applied in order: an anchor that came first waits for the timestamp.
    const anchorEnd = smaller(progress.anchored_size, timestampCursor);
    const anchorCursor = chunkEnd(progress.anchor_cursor, anchorEnd);
    if (anchorCursor > progress.anchor_cursor) await applyAnchor(tx, progress.anchor_cursor, anchorCursor, input.now);
    if (timestampCursor === progress.timestamp_cursor && anchorCursor === progress.anchor_cursor) return false;
    await tx.query(
      'UPDATE log_progress SET timestamp_cursor = $2::bigint, anchor_cursor = $3::bigint WHERE origin = $1',
      [input.origin, timestampCursor.toString(), anchorCursor.toString()],
    );
    await wakeComplete(tx, { timestampCursor, anchorCursor }, input.now);
    return (
      timestampCursor < progress.timestamped_size ||
      anchorCursor < smaller(progress.anchored_size, progress.timestamped_size)
    );
  });
}

function chunkEnd(cursor: bigint, end: bigint): bigint {
  return end <= cursor ? cursor : smaller(cursor + BigInt(EVIDENCE_CHUNK), end);
}

function smaller(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

async function move(
  tx: Tx,
  from: bigint,
  to: bigint,
  before: ProofState,
  after: ProofState,
): Promise<readonly Moved[]> {
  checkTransition(before, after);
  const { rows } = await tx.query<Moved>(MOVE, [from.toString(), to.toString(), before, after]);
  return rows;
}

async function applyTimestamp(tx: Tx, from: bigint, to: bigint, at: string): Promise<void> {
  const groups = await move(tx, from, to, 'SEALED', 'TIMESTAMPED');
  await appendTimeline(
    tx,
    groups
      .filter((g) => g.moved > 0)
      .map((g) => ({ ...step(g, at), state: 'TIMESTAMPED', ...(g.stayed !== null && { exceptions: g.stayed }) })),
  );
}

async function applyAnchor(tx: Tx, from: bigint, to: bigint, at: string): Promise<void> {
  const groups = await move(tx, from, to, 'TIMESTAMPED', 'ANCHORED');
  const rows: TimelineRow[] = [];
  for (const g of groups) {
    if (g.moved > 0)
      rows.push({ ...step(g, at), state: 'ANCHORED', ...(g.stayed !== null && { exceptions: g.stayed }) });
    if (g.noted !== null) {
      const allStayed = g.moved === 0 && g.noted.length === g.stayed?.length;
      rows.push({ ...step(g, at), state: 'ANCHORED', changesState: false, ...(!allStayed && { members: g.noted }) });
    }
  }
  await appendTimeline(tx, rows);
}

function step(g: Moved, at: string): Pick<TimelineRow, 'tenantId' | 'scope' | 'at' | 'leafRange'> {
  return { tenantId: g.tenant_id, scope: { batchId: g.batch_id }, at, leafRange: { from: g.leaf_from, to: g.leaf_to } };
}
