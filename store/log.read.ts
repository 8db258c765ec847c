/**
 * What the world reads of the log: checkpoints, tiles, entries, and proofs made from tiles. Only what a published
 * checkpoint covers is shown. Needs no more than the rights of proofline_api.
 */
import { setImmediate as immediate } from 'node:timers/promises';
import { ProoflineError } from '../domain/errors.ts';
import { createTileNodeReader, formatEntryBundle, type TileId, tileWidth } from '../log/tiles.ts';
import { consistencyRanges, HASH_BYTES, hashRange, inclusionRanges, type LeafRange, subtreesOf } from '../log/tree.ts';
import { keyOf, readLeaves, readTiles, readTilesOf } from './log-tiles.ts';
import type { Queryable } from './pool.ts';

/** Paths that one call makes. */
export const MAX_PATHS = 10_000;
const YIELD_EVERY = 32;

export interface StoredCheckpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The signed note, verbatim. */
  readonly note: string;
  /** RFC 3339 UTC, of our clock. */
  readonly publishedAt: string;
}

const CHECKPOINT = 'SELECT origin, size, root, note, published_at AS "publishedAt" FROM checkpoints WHERE origin = $1';

/** The newest published checkpoint; undefined before the first. */
export async function readLatestCheckpoint(db: Queryable, origin: string): Promise<StoredCheckpoint | undefined> {
  const { rows } = await db.query<StoredCheckpoint>(`${CHECKPOINT} ORDER BY size DESC LIMIT 1`, [origin]);
  return rows[0];
}

/** The checkpoint of exactly this size, if it was published and kept. */
export async function readCheckpoint(
  db: Queryable,
  origin: string,
  size: bigint,
): Promise<StoredCheckpoint | undefined> {
  const { rows } = await db.query<StoredCheckpoint>(`${CHECKPOINT} AND size = $2`, [origin, size.toString()]);
  return rows[0];
}

/**
 * The hashes of a tile, 32 bytes each, exactly `width` of them, or of an entry bundle (`level: 'entries'`). Throws
 * LOG_TILE_NOT_FOUND beyond the newest published checkpoint.
 */
export async function readTile(db: Queryable, origin: string, tile: TileId): Promise<Uint8Array> {
  const published = await readLatestCheckpoint(db, origin);
  const has = published === undefined || tile.index < 0n ? 0 : tileWidth(tile.level, tile.index, published.size);
  if (published === undefined || tile.width < 1 || has < tile.width)
    throw new ProoflineError(
      'LOG_TILE_NOT_FOUND',
      `tile ${tile.level}/${tile.index} has ${has} of ${tile.width} hashes`,
    );
  if (tile.level === 'entries') return readEntries(db, tile.index, tile.width);
  const place = { level: tile.level, index: tile.index };
  const hashes = (await readTiles(db, [place], published.size)).get(keyOf(place));
  if (hashes === undefined)
    throw new ProoflineError('LOG_CORRUPT', `tile ${keyOf(place)} of a tree of ${published.size} has no rows`);
  return hashes.subarray(0, tile.width * HASH_BYTES);
}

async function readEntries(db: Queryable, index: bigint, width: number): Promise<Uint8Array> {
  const leaves = await readLeaves(db, index * 256n, width);
  if (leaves.length !== width)
    throw new ProoflineError('LOG_CORRUPT', `${leaves.length} of ${width} leaves in bundle ${index}`);
  return formatEntryBundle(leaves);
}

/**
 * RFC 6962 §2.1.1 audit paths of leaves in the tree of `size` leaves, in the order asked; at most `MAX_PATHS`. At most
 * three queries in all. Throws LOG_TILE_NOT_FOUND for an index that the tree does not have.
 */
export async function readInclusionPaths(
  db: Queryable,
  indexes: readonly bigint[],
  size: bigint,
): Promise<readonly (readonly Uint8Array[])[]> {
  if (indexes.length > MAX_PATHS) throw new RangeError(`${indexes.length} paths, at most ${MAX_PATHS}`);
  const outside = indexes.find((index) => index < 0n || index >= size);
  if (outside !== undefined) throw new ProoflineError('LOG_TILE_NOT_FOUND', `leaf ${outside} of a tree of ${size}`);
  return readRanges(
    db,
    indexes.map((index) => inclusionRanges(index, size)),
    size,
  );
}

/** RFC 6962 §2.1.2 proof between two trees of this log. Throws LOG_TILE_NOT_FOUND if they are not in order. */
export async function readConsistencyProof(
  db: Queryable,
  first: bigint,
  second: bigint,
): Promise<readonly Uint8Array[]> {
  if (first < 0n || first > second)
    throw new ProoflineError('LOG_TILE_NOT_FOUND', `from a tree of ${first} to one of ${second}`);
  const [proof = []] = await readRanges(db, [consistencyRanges(first, second)], second);
  return proof;
}

async function readRanges(
  db: Queryable,
  proofs: readonly (readonly LeafRange[])[],
  size: bigint,
): Promise<readonly (readonly Uint8Array[])[]> {
  const readTileAt = await readTilesOf(
    db,
    proofs.flatMap((ranges) => ranges.flatMap(subtreesOf)),
    size,
  );
  const readNode = createTileNodeReader(readTileAt);
  const out: (readonly Uint8Array[])[] = [];
  for (const [i, ranges] of proofs.entries()) {
    // Scattered leaves cost the hashing of a whole tile each, 1 ms: others get their turn.
    if (i % YIELD_EVERY === YIELD_EVERY - 1) await immediate();
    out.push(ranges.map((range) => hashRange(range, readNode)));
  }
  return out;
}
