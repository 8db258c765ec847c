/** What anchoring costs, and what waits for it: figures for metrics. As proofline_worker. */
import type { Queryable } from './pool.ts';

export interface AnchorFigures {
  /** Anchors that stand since `since`, their fees, and the leaves that share them. */
  readonly anchors: number;
  readonly feeTinybars: bigint;
  readonly newLeaves: bigint;
  /** RFC 3339: since when the oldest batch that wants an anchor waits for it; null if none does. */
  readonly waitsSince: string | null;
}

export async function readAnchorFigures(db: Queryable, origin: string, since: string): Promise<AnchorFigures> {
  const { rows } = await db.query<AnchorFigures>(
    `SELECT count(*)::int AS anchors, coalesce(sum(fee_tinybars), 0)::bigint AS "feeTinybars", coalesce(sum(new_leaves), 0)::bigint AS "newLeaves",
       (SELECT min(b.sealed_at) FROM batches b WHERE b.state = 'SEALED' AND b.evidence_complete_at IS NULL AND b.anchor_policy <> 'NONE'
          AND NOT EXISTS (SELECT FROM log_progress l WHERE l.origin = $1 AND b.max_leaf_index < l.anchor_cursor)) AS "waitsSince"
     FROM anchors WHERE origin = $1 AND state = 'VERIFIED' AND updated_at >= $2`,
    [origin, since],
  );
  return rows[0] ?? { anchors: 0, feeTinybars: 0n, newLeaves: 0n, waitsSince: null };
}
