/** When an anchor is made: at most once per window, for the newest timestamped checkpoint, and only if a batch waits. */
import { workflowIds } from '../domain/ids.ts';
import type { AnchorWindow } from '../domain/states.ts';
import { enqueueMotion } from './outbox.ts';
import type { Tx } from './pool.ts';

/** Milliseconds between two anchors that a window causes. */
export type AnchorWindows = Readonly<Record<AnchorWindow, number>>;

export const ANCHOR_WINDOWS: AnchorWindows = { express: 5_000, standard: 60_000, economy: 3_600_000 };

/** Anchors under way beyond which none is begun: while the ledger is away, one later anchor covers all that waited. */
export const MAX_OPEN_ANCHORS = 4;

/** What `anchorCheckpoint` is started with. */
export interface AnchorStart {
  readonly origin: string;
  /** Decimal. */
  readonly size: string;
}

export interface ClosedWindow {
  readonly window: AnchorWindow;
  readonly size: bigint;
}

// A window is closed for a batch whose last leaf the newest token covers and no anchor (made or under way) does yet.
// One that an operator gave up (FAILED) covers nothing, and its own checkpoint may be anchored again, by a further attempt.
// One that is SUSPECT freezes anchoring until somebody resolves it.
const FIND = `
  WITH stamped AS (
    SELECT coalesce(max(size), 0) AS size FROM timestamps WHERE origin = $1
  ), covered AS (
    SELECT coalesce((SELECT size FROM anchors WHERE origin = $1 AND state <> 'FAILED' ORDER BY size DESC LIMIT 1), 0) AS size
  ), open AS (
    SELECT count(*) AS anchors, coalesce(bool_or(state = 'SUSPECT'), false) AS suspect FROM anchors WHERE state <> 'VERIFIED' AND state <> 'FAILED' AND origin = $1
  )
  SELECT w."window", s.size FROM anchor_windows w, stamped s, covered c, open o
  WHERE s.size > c.size AND w.needed_index >= c.size AND NOT o.suspect AND o.anchors < $4
    AND (w.closed_at IS NULL OR w.closed_at <= $2::timestamptz - ($3::jsonb ->> w."window"::text)::bigint * interval '1 millisecond')
    AND EXISTS (
      SELECT FROM batches b WHERE b.state = 'SEALED' AND b.evidence_complete_at IS NULL AND b.leaves_pending = 0 AND b.max_leaf_index >= c.size AND b.max_leaf_index < s.size
        AND b.anchor_policy <> 'NONE' AND b.anchor_window = w."window")
    AND NOT EXISTS (SELECT FROM anchors a WHERE a.origin = $1 AND a.size = s.size AND a.state <> 'FAILED')
  ORDER BY w."window" LIMIT 1`;

/**
 * Closes at most one window: an `anchors` row and the start of its workflow, in this transaction. Key (origin, size).
 * Lock order: anchor_windows by window. Returns undefined if no window is due or nobody waits.
 */
export async function closeAnchorWindow(
  tx: Tx,
  input: { readonly origin: string; readonly now: string; readonly windows?: AnchorWindows; readonly maxOpen?: number },
): Promise<ClosedWindow | undefined> {
  const parameters = [
    input.origin,
    input.now,
    JSON.stringify(input.windows ?? ANCHOR_WINDOWS),
    input.maxOpen ?? MAX_OPEN_ANCHORS,
  ];
  // Looked at without a lock first: nearly always nothing is due.
  if ((await tx.query(FIND, parameters)).rows.length === 0) return undefined;
  await tx.query(`SELECT FROM anchor_windows ORDER BY "window" FOR NO KEY UPDATE`);
  const { rows } = await tx.query<ClosedWindow>(FIND, parameters);
  const due = rows[0];
  if (due === undefined) return undefined;
  const { window, size } = due;
  const { rowCount } = await tx.query(
    `INSERT INTO anchors (origin, size, "window", created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
     ON CONFLICT (origin, size) DO UPDATE SET state = 'PENDING', "window" = excluded."window", failure = NULL, updated_at = excluded.updated_at WHERE anchors.state = 'FAILED'`,
    [input.origin, size.toString(), window, input.now],
  );
  if (rowCount !== 1) return undefined;
  await tx.query(`UPDATE anchor_windows SET closed_at = $2 WHERE "window" = $1`, [window, input.now]);
  await enqueueMotion(tx, [startOfAnchor(input.origin, size)], input.now);
  return { window, size };
}

/** The outbox row that starts an anchor's workflow. */
export function startOfAnchor(
  origin: string,
  size: bigint,
): { kind: 'start'; workflowId: string; name: string; payload: AnchorStart } {
  return {
    kind: 'start',
    workflowId: workflowIds.anchorCheckpoint(origin, size),
    name: 'anchorCheckpoint',
    payload: { origin, size: size.toString() },
  };
}
