/**
 * The head of the log and what changes it. Lock order: log_head, leaf_queue, batches by id, anchor_windows by window.
 * A head is committed unsigned, then signed, then published: no new leaf is taken while the head has no note.
 */
import { ProoflineError } from '../domain/errors.ts';
import { appendLeafHashes, checkEdge, rootOfEdge } from '../log/tiles.ts';
import { emptyRoot, HASH_BYTES, hashLeaf } from '../log/tree.ts';
import { asBuffer, insertFullTiles, readEdge } from './log-tiles.ts';
import type { Queryable, Tx } from './pool.ts';

/** Leaves that one integration takes: 64 level-0 tiles, some 60 ms of hashing. */
export const INTEGRATION_LIMIT = 16_384;

export interface LogHead {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The signed note of exactly this size; null until it is signed. */
  readonly note: string | null;
}

export interface IntegrationStep {
  /** The head after the step. Unsigned: sign it before anything else. */
  readonly head: LogHead;
  /** Leaves that this step added. */
  readonly leaves: number;
}

/** Makes the head of an empty tree, unsigned, and its progress row, where the log has none yet. Key (origin). */
export async function ensureLog(tx: Tx, origin: string, now: string): Promise<void> {
  await tx.query(
    'INSERT INTO log_head (origin, size, root, updated_at) VALUES ($1, 0, $2, $3) ON CONFLICT (origin) DO NOTHING',
    [origin, asBuffer(emptyRoot()), now],
  );
  await tx.query('INSERT INTO log_progress (origin) VALUES ($1) ON CONFLICT (origin) DO NOTHING', [origin]);
}

/**
 * The head, and whether leaves are queued. One statement, no lock; by the index, since EXISTS would walk the dead rows
 * of a busy queue each time.
 */
export async function readLogWork(
  db: Queryable,
  origin: string,
): Promise<{ readonly head: LogHead; readonly isQueued: boolean } | undefined> {
  const { rows } = await db.query<LogHead & { isQueued: boolean }>(
    'SELECT origin, size, root, note, (SELECT id FROM leaf_queue ORDER BY id LIMIT 1) IS NOT NULL AS "isQueued" FROM log_head WHERE origin = $1',
    [origin],
  );
  const row = rows[0];
  return (
    row && { head: { origin: row.origin, size: row.size, root: row.root, note: row.note }, isQueued: row.isQueued }
  );
}

/**
 * Takes at most `limit` queued leaves into the tree and leaves the new head unsigned; takes none while the head is
 * unsigned. Call in a transaction of its own. Throws LOG_CORRUPT if the stored tree does not have its head's root.
 */
export async function integrateLeaves(
  tx: Tx,
  input: { readonly origin: string; readonly now: string; readonly limit?: number },
): Promise<IntegrationStep> {
  const head = await lockHead(tx, input.origin);
  if (head.note === null) return { head, leaves: 0 };
  const taken = await takeLeaves(tx, head.size, input.limit ?? INTEGRATION_LIMIT);
  if (taken.batches.length === 0) return { head, leaves: 0 };
  await countBatches(tx, taken.batches);
  if (taken.leaves.length === 0) return { head, leaves: 0 };
  const edge = checkEdge(await readEdge(tx, head.size));
  if (!asBuffer(rootOfEdge(edge)).equals(head.root))
    throw new ProoflineError('LOG_CORRUPT', `the stored tree of ${head.size} leaves does not have its head's root`);
  const grown = appendLeafHashes(edge, taken.leaves.map(hashLeaf));
  await insertFullTiles(tx, grown.fullTiles);
  await tx.query('UPDATE log_head SET size = $2, root = $3, note = NULL, updated_at = $4 WHERE origin = $1', [
    input.origin,
    grown.edge.size.toString(),
    asBuffer(grown.root),
    input.now,
  ]);
  return {
    head: { origin: input.origin, size: grown.edge.size, root: grown.root, note: null },
    leaves: taken.leaves.length,
  };
}

/**
 * Stores the note of the head and publishes it, if the head is still that one and unsigned; else another integrator
 * was there first. Rings for whoever stamps. Key (origin, size). One statement.
 */
export async function storeCheckpointNote(
  db: Queryable,
  input: {
    readonly origin: string;
    readonly size: bigint;
    readonly root: Uint8Array;
    readonly note: string;
    readonly now: string;
  },
): Promise<'published' | 'superseded'> {
  const { rowCount } = await db.query(
    `WITH signed AS (UPDATE log_head SET note = $4, updated_at = $5 WHERE origin = $1 AND size = $2 AND root = $3 AND note IS NULL RETURNING origin, size, root, note),
     published AS (INSERT INTO checkpoints (origin, size, root, note, published_at) SELECT origin, size, root, note, $5 FROM signed RETURNING size)
     SELECT pg_notify('proofline_stampable', '') FROM published`,
    [input.origin, input.size.toString(), asBuffer(input.root), input.note, input.now],
  );
  return rowCount === 1 ? 'published' : 'superseded';
}

/**
 * Deletes checkpoints published before `before` that bear neither token nor anchor; the newest always stays. At most
 * `limit` a call. Returns how many.
 */
export async function pruneCheckpoints(
  db: Queryable,
  input: { readonly origin: string; readonly before: string; readonly limit?: number },
): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM checkpoints WHERE origin = $1 AND size = ANY (ARRAY(
       SELECT c.size FROM checkpoints c WHERE c.origin = $1 AND c.published_at < $2 AND c.size < (SELECT max(size) FROM checkpoints WHERE origin = $1)
         AND NOT EXISTS (SELECT FROM timestamps t WHERE t.origin = $1 AND t.size = c.size) AND NOT EXISTS (SELECT FROM anchors a WHERE a.origin = $1 AND a.size = c.size)
       ORDER BY c.size LIMIT $3))`,
    [input.origin, input.before, input.limit ?? 10_000],
  );
  return rowCount ?? 0;
}

async function lockHead(tx: Tx, origin: string): Promise<LogHead> {
  const { rows } = await tx.query<LogHead>(
    'SELECT origin, size, root, note FROM log_head WHERE origin = $1 FOR UPDATE',
    [origin],
  );
  if (rows[0] === undefined) throw new ProoflineError('LOG_CORRUPT', `the log ${origin} has no head`);
  return rows[0];
}

interface TakenBatch {
  readonly id: string;
  readonly count: number;
  /** Decimal; null if all of its leaves were in the tree already. */
  readonly last: string | null;
}

// Leaves cross the wire once, as one value; rows would cost four times as much. A leaf of a proof that is in the tree
// already is dropped: it would stop the log for everybody at the unique key.
const TAKE = `
  WITH taken AS (
    DELETE FROM leaf_queue WHERE id = ANY (ARRAY(SELECT id FROM leaf_queue ORDER BY id LIMIT $1)) RETURNING id, proof_id, batch_id, tenant_id, leaf
  ), judged AS (
    SELECT t.*, NOT EXISTS (SELECT FROM leaves l WHERE l.proof_id = t.proof_id) AS fresh FROM taken t
  ), numbered AS (
    SELECT j.*, CASE WHEN fresh THEN $2::bigint - 1 + count(*) FILTER (WHERE fresh) OVER (ORDER BY id) END AS index FROM judged j
  ), stored AS (
    INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id) SELECT index, leaf, proof_id, batch_id, tenant_id FROM numbered WHERE fresh
  )
  SELECT string_agg(leaf, ''::bytea ORDER BY index) FILTER (WHERE fresh) AS leaves,
    (SELECT coalesce(jsonb_agg(b), '[]') FROM (SELECT batch_id AS id, count(*)::int AS count, max(index)::text AS last FROM numbered GROUP BY batch_id) b) AS batches
  FROM numbered`;

async function takeLeaves(
  tx: Tx,
  size: bigint,
  limit: number,
): Promise<{ readonly leaves: readonly Uint8Array[]; readonly batches: readonly TakenBatch[] }> {
  const { rows } = await tx.query<{ leaves: Buffer | null; batches: TakenBatch[] }>(TAKE, [limit, size.toString()]);
  const { leaves, batches } = rows[0] ?? { leaves: null, batches: [] };
  const out: Uint8Array[] = [];
  for (let at = 0; leaves !== null && at < leaves.length; at += HASH_BYTES)
    out.push(leaves.subarray(at, at + HASH_BYTES));
  return { leaves: out, batches };
}

/** Tells the batches where their leaves are, and the windows of those that want an anchor how far they reach. */
async function countBatches(tx: Tx, batches: readonly TakenBatch[]): Promise<void> {
  const ids = batches.map((batch) => batch.id);
  // In the order of their ids, so that another taker of several batches cannot hold the one that we wait for.
  await tx.query('SELECT FROM batches WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE', [ids]);
  await tx.query(
    `UPDATE batches b SET leaves_pending = b.leaves_pending - n.count, max_leaf_index = greatest(b.max_leaf_index, n.last)
     FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS n (id, count, last) WHERE b.id = n.id`,
    [ids, batches.map((batch) => batch.count), batches.map((batch) => batch.last)],
  );
  await tx.query(`SELECT FROM anchor_windows ORDER BY "window" FOR NO KEY UPDATE`);
  await tx.query(
    `UPDATE anchor_windows w SET needed_index = n.last
     FROM (SELECT anchor_window, max(max_leaf_index) AS last FROM batches WHERE id = ANY ($1::uuid[]) AND anchor_policy <> 'NONE' GROUP BY anchor_window) n
     WHERE w."window" = n.anchor_window AND coalesce(w.needed_index, -1) < n.last`,
    [ids],
  );
}
