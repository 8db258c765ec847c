/** The nightly check of the log: hashes the stored leaves again and holds tiles, checkpoints and head against them. */
import { setImmediate as immediate } from 'node:timers/promises';
import { appendLeafHashes, checkEdge, type FullTile, rootOfEdge } from '../log/tiles.ts';
import { HASH_BYTES, hashLeaf } from '../log/tree.ts';
import { asBuffer, keyOf, readEdge } from './log-tiles.ts';
import type { Db } from './pool.ts';

/** Leaves of one step: 64 tiles, some 60 ms of hashing. */
const PAGE = 16_384n;
/** Checkpoints between two moments in which others may run. */
const BREATH = 64;

export interface TreeStep {
  /** Leaves that this step hashed. */
  readonly checked: number;
  readonly faults: readonly string[];
  /** The index of the next leaf; absent at the head, or where a missing leaf ends the walk. */
  readonly next?: bigint;
}

/**
 * One step of the walk, from leaf `from`: a multiple of the page, 0 at the start. What lies below a committed head never
 * changes, so it needs no snapshot and integration goes on meanwhile.
 */
export async function checkLogTree(
  db: Db,
  { origin, from }: { readonly origin: string; readonly from: bigint },
): Promise<TreeStep> {
  const { rows } = await db.query<{ size: bigint; root: Buffer }>('SELECT size, root FROM log_head WHERE origin = $1', [
    origin,
  ]);
  const head = rows[0];
  if (head === undefined) return { checked: 0, faults: [] };
  const to = head.size < from + PAGE ? head.size : from + PAGE;
  const leaves = await readLeafHashes(db, from, to);
  if (leaves.length !== Number(to - from))
    return {
      checked: leaves.length,
      faults: [`of the leaves ${from} to ${to - 1n}, ${Number(to - from) - leaves.length} are missing`],
    };

  const faults: string[] = [];
  const tiles: FullTile[] = [];
  let edge = await readEdge(db, from).then(checkEdge);
  const checkpoints = await db.query<{ size: bigint; root: Buffer }>(
    'SELECT size, root FROM checkpoints WHERE origin = $1 AND size >= $2::bigint AND size <= $3::bigint ORDER BY size',
    [origin, from.toString(), to.toString()],
  );
  for (const [i, { size, root }] of checkpoints.rows.entries()) {
    const grown = appendLeafHashes(edge, leaves.slice(Number(edge.size - from), Number(size - from)));
    if (!root.equals(grown.root)) faults.push(`checkpoint ${size} has another root than the tree of its leaves`);
    tiles.push(...grown.fullTiles);
    edge = grown.edge;
    if (i % BREATH === BREATH - 1) await immediate();
  }
  const grown = appendLeafHashes(edge, leaves.slice(Number(edge.size - from)));
  tiles.push(...grown.fullTiles);
  faults.push(...(await compareTiles(db, tiles)));
  if (to < head.size) return { checked: leaves.length, faults, next: to };
  if (!head.root.equals(rootOfEdge(grown.edge)))
    faults.push(`the head of ${head.size} has another root than its leaves`);
  return { checked: leaves.length, faults: [...faults, ...(await findBeyondHead(db, origin))] };
}

async function readLeafHashes(db: Db, from: bigint, to: bigint): Promise<Uint8Array[]> {
  const { rows } = await db.query<{ leaves: Buffer | null }>(
    `SELECT string_agg(leaf, ''::bytea ORDER BY index) AS leaves FROM leaves WHERE index >= $1::bigint AND index < $2::bigint`,
    [from.toString(), to.toString()],
  );
  const bytes = rows[0]?.leaves ?? Buffer.alloc(0);
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES) out.push(hashLeaf(bytes.subarray(at, at + HASH_BYTES)));
  return out;
}

async function compareTiles(db: Db, tiles: readonly FullTile[]): Promise<readonly string[]> {
  if (tiles.length === 0) return [];
  const { rows } = await db.query<{ level: number; n: bigint; hashes: Buffer; root: Buffer }>(
    'SELECT t.level, t.n, t.hashes, t.root FROM unnest($1::smallint[], $2::bigint[]) AS w (level, n) JOIN tiles t USING (level, n)',
    [tiles.map((tile) => tile.level), tiles.map((tile) => tile.index.toString())],
  );
  const stored = new Map(rows.map((row) => [keyOf({ level: row.level, index: row.n }), row]));
  return tiles.flatMap((tile) => {
    const row = stored.get(keyOf(tile));
    if (row === undefined) return [`tile ${keyOf(tile)} is missing`];
    const holds = row.hashes.equals(asBuffer(tile.hashes)) && row.root.equals(asBuffer(tile.root));
    return holds ? [] : [`tile ${keyOf(tile)} does not follow from the leaves`];
  });
}

/** Rows that no head has spoken of. One statement, since the head grows together with them. */
async function findBeyondHead(db: Db, origin: string): Promise<readonly string[]> {
  const { rows } = await db.query<{ size: bigint; leaves: bigint; tiles: bigint; checkpoints: bigint }>(
    `SELECT h.size, (SELECT count(*) FROM leaves l WHERE l.index >= h.size) AS leaves,
       (SELECT count(*) FROM tiles t WHERE t.n >= h.size >> (8 * (t.level + 1))) AS tiles,
       (SELECT count(*) FROM checkpoints c WHERE c.origin = h.origin AND c.size > h.size) AS checkpoints
     FROM log_head h WHERE h.origin = $1`,
    [origin],
  );
  const row = rows[0];
  if (row === undefined) return [];
  const beyond = { leaves: row.leaves, tiles: row.tiles, checkpoints: row.checkpoints };
  return Object.entries(beyond).flatMap(([what, count]) =>
    count > 0n ? [`${count} ${what} lie beyond the head of ${row.size}`] : [],
  );
}
