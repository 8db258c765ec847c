/**
 * The rows of the tree. Only full tiles are stored; a partial tile of level 0 is computed from its leaves, one above
 * from the roots of the full tiles under it. Callers see no difference.
 */

import { ProoflineError } from '../domain/errors.ts';
import { type Edge, EMPTY_EDGE, type FullTile, joinHashes, locateNode, TILE_WIDTH, tileWidth } from '../log/tiles.ts';
import { hashLeaf, type NodeId } from '../log/tree.ts';
import type { Queryable, Tx } from './pool.ts';

/** A tile by its place; its width follows from the size of the tree. */
export interface TilePlace {
  readonly level: number;
  readonly index: bigint;
}

const LEVELS = 8;
const WIDTH = BigInt(TILE_WIDTH);

export async function insertFullTiles(tx: Tx, tiles: readonly FullTile[]): Promise<void> {
  if (tiles.length === 0) return;
  await tx.query(
    `INSERT INTO tiles (level, n, hashes, root) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[])`,
    [
      tiles.map((tile) => tile.level),
      tiles.map((tile) => tile.index.toString()),
      tiles.map((tile) => asBuffer(tile.hashes)),
      tiles.map((tile) => asBuffer(tile.root)),
    ],
  );
}

/** The partial tiles at the right edge of a tree of `size` leaves: all that an append needs. Two queries. */
export async function readEdge(tx: Queryable, size: bigint): Promise<Edge> {
  if (size === 0n) return EMPTY_EDGE;
  const places: TilePlace[] = [];
  for (let level = 0; level < LEVELS && size >> BigInt(8 * level) > 0n; level++)
    places.push({ level, index: size >> BigInt(8 * (level + 1)) });
  const partial = await readPartialTiles(tx, places, size);
  return { size, levels: places.map((place) => partial.get(keyOf(place)) ?? new Uint8Array(0)) };
}

/**
 * The tiles that hold the given nodes of a tree of `size` leaves, as a reader for createTileNodeReader. At most three
 * queries, whatever the number of nodes; a tile is 8 KiB. The reader throws LOG_CORRUPT for a tile that has no rows.
 */
export async function readTilesOf(
  tx: Queryable,
  nodes: readonly NodeId[],
  size: bigint,
): Promise<(level: number, index: bigint) => Uint8Array> {
  const wanted = new Map<string, TilePlace>();
  for (const node of nodes) {
    const { level, index } = locateNode(node);
    wanted.set(keyOf({ level, index }), { level, index });
  }
  const tiles = await readTiles(tx, [...wanted.values()], size);
  return (level, index) => {
    const tile = tiles.get(keyOf({ level, index }));
    if (tile === undefined)
      throw new ProoflineError('LOG_CORRUPT', `tile ${level}/${index} of a tree of ${size} has no rows`);
    return tile;
  };
}

/** Tiles as a tree of `size` leaves has them, cut to its widths; what it does not have is absent. At most three queries. */
export async function readTiles(
  tx: Queryable,
  places: readonly TilePlace[],
  size: bigint,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const isFull = ({ level, index }: TilePlace): boolean => tileWidth(level, index, size) === TILE_WIDTH;
  const full = await readFullTiles(tx, places.filter(isFull));
  const partial = await readPartialTiles(
    tx,
    places.filter((place) => !isFull(place)),
    size,
  );
  return new Map([...full, ...partial]);
}

export function keyOf({ level, index }: TilePlace): string {
  return `${level}/${index}`;
}

async function readFullTiles(tx: Queryable, places: readonly TilePlace[]): Promise<Map<string, Uint8Array>> {
  if (places.length === 0) return new Map();
  const { rows } = await tx.query<{ level: number; n: bigint; hashes: Buffer }>(
    'SELECT t.level, t.n, t.hashes FROM unnest($1::smallint[], $2::bigint[]) AS w (level, n) JOIN tiles t USING (level, n)',
    [places.map((place) => place.level), places.map((place) => place.index.toString())],
  );
  return new Map(rows.map((row) => [keyOf({ level: row.level, index: row.n }), row.hashes]));
}

async function readPartialTiles(
  tx: Queryable,
  places: readonly TilePlace[],
  size: bigint,
): Promise<Map<string, Uint8Array>> {
  const ranges = places
    .map((place) => ({ ...place, first: place.index * WIDTH, width: tileWidth(place.level, place.index, size) }))
    .filter(({ width }) => width > 0);
  const out = new Map<string, Uint8Array>();
  for (const range of ranges.filter(({ level }) => level === 0)) {
    const leaves = await readLeaves(tx, range.first, range.width);
    if (leaves.length === range.width) out.set(keyOf(range), joinHashes(leaves.map(hashLeaf)));
  }
  const above = ranges.filter(({ level }) => level > 0);
  if (above.length === 0) return out;
  const { rows } = await tx.query<{ level: number; first: bigint; roots: Buffer }>(
    `SELECT w.level + 1 AS level, w.first, string_agg(t.root, ''::bytea ORDER BY t.n) AS roots
     FROM unnest($1::smallint[], $2::bigint[], $3::int[]) AS w (level, first, width) JOIN tiles t ON t.level = w.level AND t.n >= w.first AND t.n < w.first + w.width
     GROUP BY w.level, w.first`,
    [above.map(({ level }) => level - 1), above.map(({ first }) => first.toString()), above.map(({ width }) => width)],
  );
  for (const row of rows) out.set(keyOf({ level: row.level, index: row.first / WIDTH }), row.roots);
  return out;
}

/** The data of `count` ≤ 256 leaves from `first`; fewer if the tree ends before. */
export async function readLeaves(tx: Queryable, first: bigint, count: number): Promise<Buffer[]> {
  const { rows } = await tx.query<{ leaf: Buffer }>(
    'SELECT leaf FROM leaves WHERE index >= $1 AND index < $1::bigint + $2::int ORDER BY index',
    [first.toString(), count],
  );
  return rows.map((row) => row.leaf);
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
