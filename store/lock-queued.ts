import type { BatchId, OrgUnitId, ProofId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy, ProofState } from '../domain/states.ts';
import { arrayLiteral } from './array-literal.ts';
import type { Tx } from './pool.ts';
import { type Coverage, readCoverage } from './read-coverage.ts';

/** A proof of the queue whose row is locked and whose evidence is complete. */
export interface Ready {
  readonly id: ProofId;
  /**
   * Where its row of the queue lies (ctid), until the transaction ends: while the tenant and the proof are locked nobody moves it.
   * The statistics of a queue that is mostly empty lead the planner astray, so that it may read all of it to find a proof.
   */
  readonly row: string;
  readonly unit: OrgUnitId;
  readonly batchId: BatchId;
  readonly state: ProofState;
  readonly anchorPolicy: AnchorPolicy;
  readonly coverage: Coverage;
}

/** Which rows of the queue to take, oldest first: of these units alone, and never those of `skip`. */
export interface QueueSlice {
  readonly tenant: TenantId;
  /**
   * `all`: in the queue's own order. `rooms`: of each unit no more than its room. `untold`: of those who were not told yet
   * that they wait.
   */
  readonly of: 'all' | 'rooms' | 'untold';
  readonly units: readonly OrgUnitId[];
  /** By unit, for `rooms`. */
  readonly rooms?: readonly number[];
  readonly skip: readonly ProofId[];
  readonly limit: number;
}

export interface LockedSlice {
  /** Rows of the queue that were looked at. */
  readonly taken: number;
  readonly ready: readonly Ready[];
  /** In the queue though the evidence is not complete by our clock: left alone. */
  readonly unready: readonly ProofId[];
}

// The units are named even where all are meant, since a proof of another may have joined the queue since they were read.
const SLICES = {
  all: `SELECT ctid, received_at, proof_id, org_unit_id, batch_id FROM licence_queue
    WHERE tenant_id = $1 AND proof_id <> ALL ($2::uuid[]) AND org_unit_id = ANY ($4::uuid[]) ORDER BY received_at, proof_id LIMIT $3`,
  rooms: `SELECT q.* FROM unnest($4::uuid[], $6::int[]) AS u (id, room) CROSS JOIN LATERAL (
      SELECT w.ctid, w.received_at, w.proof_id, w.org_unit_id, w.batch_id FROM licence_queue w WHERE w.tenant_id = $1 AND w.org_unit_id = u.id AND w.proof_id <> ALL ($2::uuid[])
      ORDER BY w.received_at, w.proof_id LIMIT u.room) q
    ORDER BY q.received_at, q.proof_id LIMIT $3`,
  untold: `SELECT q.* FROM unnest($4::uuid[]) AS u (id) CROSS JOIN LATERAL (
      SELECT w.ctid, w.received_at, w.proof_id, w.org_unit_id, w.batch_id FROM licence_queue w WHERE w.tenant_id = $1 AND w.org_unit_id = u.id AND NOT w.awaiting AND w.proof_id <> ALL ($2::uuid[])
      ORDER BY w.received_at, w.proof_id LIMIT $3) q
    ORDER BY q.received_at, q.proof_id LIMIT $3`,
} as const;

const lockSql = (slice: string): string => `
  WITH slice AS MATERIALIZED (${slice}), locked AS MATERIALIZED (
    SELECT id, state, anchor_policy, coalesce(anchor_deadline <= $5::timestamptz, false) AS is_due, released_at IS NOT NULL AS is_released
    FROM proofs WHERE id = ANY (ARRAY(SELECT proof_id FROM slice)) ORDER BY id FOR NO KEY UPDATE
  )
  SELECT s.proof_id AS id, s.ctid AS row, s.org_unit_id AS unit, s.batch_id AS "batchId", p.state, p.anchor_policy AS "anchorPolicy", p.is_due AS "isDue", p.is_released AS "isReleased"
  FROM slice s LEFT JOIN locked p ON p.id = s.proof_id ORDER BY s.received_at, s.proof_id`;

interface Locked {
  readonly id: ProofId;
  readonly row: string;
  readonly unit: OrgUnitId;
  readonly batchId: BatchId;
  /** Null, as the rest, if there is no such proof. */
  readonly state: ProofState | null;
  readonly anchorPolicy: AnchorPolicy;
  readonly isDue: boolean;
  readonly isReleased: boolean;
}

/**
 * Takes a slice of the queue and locks its proofs by id, which decides every race with a cancellation, a refusal or a
 * failure; keeps the queue's order. Those that are past being certified leave the queue without a unit.
 */
export async function lockQueued(tx: Tx, slice: QueueSlice, origin: string, now: string): Promise<LockedSlice> {
  const nothing = { taken: 0, ready: [], unready: [] };
  if (slice.units.length === 0) return nothing;
  const { rows } = await tx.query<Locked>({
    text: lockSql(SLICES[slice.of]),
    values: [
      slice.tenant,
      arrayLiteral(slice.skip),
      slice.limit,
      arrayLiteral(slice.units),
      now,
      ...(slice.of === 'rooms' ? [arrayLiteral(slice.rooms ?? [])] : []),
    ],
  });
  if (rows.length === 0) return nothing;
  // What ends a proof takes it out of the queue, under its lock: a proof that may be served is in it still.
  const { coverageOf, drafted } = await readCoverage(
    tx,
    origin,
    rows.map(({ id }) => id),
  );
  const ready: Ready[] = [];
  const unready: ProofId[] = [];
  const gone: ProofId[] = [];
  for (const row of rows) {
    const coverage = coverageOf.get(row.id);
    // Nobody who has a draft is queued; if one were, its tenant must not wait behind it for ever.
    if (row.state === null || drafted.has(row.id) || !MAY_BE_SERVED.has(row.state)) gone.push(row.id);
    else if (coverage === undefined || !isComplete(row, coverage)) unready.push(row.id);
    else
      ready.push({
        id: row.id,
        row: row.row,
        unit: row.unit,
        batchId: row.batchId,
        state: row.state,
        anchorPolicy: row.anchorPolicy,
        coverage,
      });
  }
  if (gone.length > 0)
    await tx.query('DELETE FROM licence_queue WHERE proof_id = ANY ($1::uuid[])', [arrayLiteral(gone)]);
  return { taken: rows.length, ready, unready };
}

const MAY_BE_SERVED: ReadonlySet<ProofState> = new Set(['TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE']);

/**
 * Unless an operator released it, REQUIRED is never certified without an anchor and PREFERRED not before its deadline;
 * ANCHORED only as what it says.
 */
function isComplete(proof: Locked, coverage: Coverage): boolean {
  if (coverage.anchor !== undefined) return true;
  if (proof.state === 'ANCHORED') return false;
  if (proof.isReleased) return true;
  if (proof.anchorPolicy === 'REQUIRED') return false;
  // Whoever waits for a licence was complete when it began to, whatever another machine's clock says of the deadline.
  return proof.anchorPolicy === 'NONE' || proof.isDue || proof.state === 'AWAITING_LICENSE';
}
