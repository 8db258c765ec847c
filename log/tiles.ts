/**
 * C2SP tlog-tiles: the tree as tiles of 256 hashes, their paths, the entry bundles beside them, and how a log grows.
 * A tile of level L holds consecutive roots of perfect subtrees of height 8·L; the first level holds leaf hashes.
 * Full tiles never change. The partial tiles at the right edge are all that appending needs to know of the past.
 */
import { LogFormatError, quote } from './errors.ts';
import { emptyRoot, HASH_BYTES, hashLeaf, hashNode, type NodeId, type ReadNode } from './tree.ts';

export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8;
/** Levels of a log below 2^63 leaves: 0 to 7. The format allows 63. */
const MAX_TILE_LEVEL = 63;

/** A tile of a level, or an entry bundle. `width` is 256 for a full one, 1 to 255 for a partial one. */
export interface TileId {
  readonly level: number | 'entries';
  readonly index: bigint;
  readonly width: number;
}

/** A full tile, 8,192 bytes, and its root: the hash that it contributes one level up. */
export interface FullTile {
  readonly level: number;
  readonly index: bigint;
  readonly hashes: Uint8Array;
  readonly root: Uint8Array;
}

/** The partial tiles of a tree, by level from 0: concatenated hashes, fewer than 256 each. Never changed in place. */
export interface Edge {
  readonly size: bigint;
  readonly levels: readonly Uint8Array[];
}

/** What an append did: the new edge and root, and the tiles it filled, lowest level first within each moment. */
export interface Appended {
  readonly edge: Edge;
  readonly root: Uint8Array;
  readonly fullTiles: readonly FullTile[];
}

export const EMPTY_EDGE: Edge = { size: 0n, levels: [] };

/** `tile/<L>/<N>[.p/<W>]`, N in groups of three digits, all but the last marked `x`. */
export function formatTilePath({ level, index, width }: TileId): string {
  if (level !== 'entries' && (!Number.isInteger(level) || level < 0 || level > MAX_TILE_LEVEL))
    throw new LogFormatError('TILE_PATH', `level ${level}`);
  if (index < 0n || index >= 1n << 63n) throw new LogFormatError('TILE_PATH', `index ${index}`);
  if (!Number.isInteger(width) || width < 1 || width > TILE_WIDTH)
    throw new LogFormatError('TILE_PATH', `width ${width}`);
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) as string[];
  const path = groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/');
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The inverse of formatTilePath; throws TILE_PATH for any other spelling. At most 64 characters. */
export function parseTilePath(path: string): TileId {
  const match =
    path.length > 64
      ? null
      : /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(path);
  if (match === null) throw new LogFormatError('TILE_PATH', quote(path));
  const [, levelText = '', indexText = '', widthText] = match;
  const tile: TileId = {
    level: levelText === 'entries' ? levelText : Number(levelText),
    index: BigInt(indexText.replace(/[x/]/g, '')),
    width: widthText === undefined ? TILE_WIDTH : Number(widthText),
  };
  // One spelling only: no leading zeros, no superfluous groups, and `.p/256` is the full tile misspelt.
  if (
    tile.width > TILE_WIDTH ||
    (tile.level !== 'entries' && tile.level > MAX_TILE_LEVEL) ||
    tile.index >= 1n << 63n ||
    formatTilePath(tile) !== path
  )
    throw new LogFormatError('TILE_PATH', quote(path));
  return tile;
}

/** Hashes in the tile (level, index) of a tree of `size`: 256 if full, 0 if it does not exist. */
export function tileWidth(level: number | 'entries', index: bigint, size: bigint): number {
  const hashes = size >> BigInt(TILE_HEIGHT * (level === 'entries' ? 0 : level));
  const left = hashes - index * BigInt(TILE_WIDTH);
  return left <= 0n ? 0 : left >= BigInt(TILE_WIDTH) ? TILE_WIDTH : Number(left);
}

/** The tile that the node's hash is in or computed from, and its place there: `count` hashes from `first`. */
export function locateNode({ level, index }: NodeId): { level: number; index: bigint; first: number; count: number } {
  const height = level % TILE_HEIGHT;
  const at = index << BigInt(height);
  return {
    level: (level - height) / TILE_HEIGHT,
    index: at / BigInt(TILE_WIDTH),
    first: Number(at % BigInt(TILE_WIDTH)),
    count: 1 << height,
  };
}

/**
 * Reads nodes from tiles. `readTile` gives the hashes of a tile (any width that holds the node), or throws. Inner
 * nodes of a tile are hashed once and kept, so that thousands of paths cost little more than one.
 */
export function createTileNodeReader(readTile: (level: number, index: bigint) => Uint8Array): ReadNode {
  const known = new Map<string, Uint8Array>();
  const read = (tileLevel: number, tileIndex: bigint, first: number, count: number): Uint8Array => {
    const key = `${tileLevel}/${tileIndex}/${first}/${count}`;
    const kept = known.get(key);
    if (kept !== undefined) return kept;
    const hash =
      count === 1
        ? hashAt(readTile(tileLevel, tileIndex), first)
        : hashNode(
            read(tileLevel, tileIndex, first, count / 2),
            read(tileLevel, tileIndex, first + count / 2, count / 2),
          );
    known.set(key, hash);
    return hash;
  };
  return (node) => {
    const at = locateNode(node);
    return read(at.level, at.index, at.first, at.count);
  };
}

/**
 * Appends leaf hashes to the tree that `edge` ends, in one pass: each leaf costs one node hash in all. Appending in
 * any number of steps gives the same edge, root and tiles as appending at once.
 */
export function appendLeafHashes(edge: Edge, leafHashes: readonly Uint8Array[]): Appended {
  const growing = edge.levels.map((hashes) => splitHashes(hashes));
  const firstTile = (level: number): bigint => edge.size >> BigInt(TILE_HEIGHT * (level + 1));
  const filled: bigint[] = [];
  const fullTiles: FullTile[] = [];
  const push = (level: number, hash: Uint8Array): void => {
    if (hash.length !== HASH_BYTES) throw new LogFormatError('HASH', `${hash.length} bytes, expected 32`);
    let row = growing[level];
    if (row === undefined) {
      row = [];
      growing[level] = row;
    }
    row.push(hash);
    if (row.length < TILE_WIDTH) return;
    const before = filled[level] ?? 0n;
    filled[level] = before + 1n;
    const root = foldPerfect(row);
    fullTiles.push({ level, index: firstTile(level) + before, hashes: joinHashes(row), root });
    growing[level] = [];
    push(level + 1, root);
  };
  for (const hash of leafHashes) push(0, hash);
  const next: Edge = { size: edge.size + BigInt(leafHashes.length), levels: growing.map(joinHashes) };
  return { edge: next, root: rootOfEdge(next), fullTiles };
}

/** The root of the tree that the edge ends: the widths' binary digits are its perfect subtrees (RFC 6962 §2.1). */
export function rootOfEdge(edge: Edge): Uint8Array {
  let root: Uint8Array | undefined;
  for (const level of edge.levels) {
    const hashes = splitHashes(level);
    let end = hashes.length;
    for (let bit = 1; bit < TILE_WIDTH; bit *= 2) {
      if ((hashes.length & bit) === 0) continue;
      const subtree = foldPerfect(hashes.slice(end - bit, end));
      root = root === undefined ? subtree : hashNode(subtree, root);
      end -= bit;
    }
  }
  return root ?? emptyRoot();
}

/** Throws RANGE unless the widths of the edge are those of its size: what a stored edge must satisfy before use. */
export function checkEdge(edge: Edge): Edge {
  for (let level = 0; level < Math.max(edge.levels.length, 8); level++) {
    const want = Number((edge.size >> BigInt(TILE_HEIGHT * level)) % BigInt(TILE_WIDTH));
    const have = edge.levels[level]?.length ?? 0;
    if (have !== want * HASH_BYTES)
      throw new LogFormatError(
        'RANGE',
        `level ${level} of a tree of ${edge.size} has ${have} bytes, expected ${want * HASH_BYTES}`,
      );
  }
  return edge;
}

/** Entries with their big-endian uint16 lengths before them; at most 256 entries of at most 65,535 bytes. */
export function formatEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length > TILE_WIDTH) throw new LogFormatError('ENTRY_BUNDLE', `${entries.length} entries`);
  const out = new Uint8Array(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > 0xffff) throw new LogFormatError('ENTRY_BUNDLE', `an entry of ${entry.length} bytes`);
    out[at++] = entry.length >> 8;
    out[at++] = entry.length & 0xff;
    out.set(entry, at);
    at += entry.length;
  }
  return out;
}

/** Exactly `width` entries and not a byte more, else ENTRY_BUNDLE. */
export function parseEntryBundle(bytes: Uint8Array, width: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < width; i++) {
    const high = bytes[at];
    const low = bytes[at + 1];
    if (high === undefined || low === undefined)
      throw new LogFormatError('ENTRY_BUNDLE', `ends at entry ${i} of ${width}`);
    const end = at + 2 + ((high << 8) | low);
    if (end > bytes.length)
      throw new LogFormatError('ENTRY_BUNDLE', `entry ${i} ends at byte ${end} of ${bytes.length}`);
    out.push(bytes.subarray(at + 2, end));
    at = end;
  }
  if (at !== bytes.length) throw new LogFormatError('ENTRY_BUNDLE', `${bytes.length - at} bytes after entry ${width}`);
  return out;
}

/** The leaf hashes of a bundle: what its tile of level 0 must hold. */
export function hashEntries(entries: readonly Uint8Array[]): Uint8Array {
  return joinHashes(entries.map(hashLeaf));
}

function hashAt(tile: Uint8Array, at: number): Uint8Array {
  const hash = tile.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
  if (hash.length !== HASH_BYTES) throw new LogFormatError('TILE', `no hash ${at} in a tile of ${tile.length} bytes`);
  return hash;
}

function splitHashes(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length % HASH_BYTES !== 0 || bytes.length > TILE_WIDTH * HASH_BYTES)
    throw new LogFormatError('TILE', `${bytes.length} bytes`);
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += HASH_BYTES) out.push(bytes.subarray(at, at + HASH_BYTES));
  return out;
}

/** Hashes one after the other, as a tile holds them. */
export function joinHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(hashes.length * HASH_BYTES);
  hashes.forEach((hash, i) => {
    out.set(hash, i * HASH_BYTES);
  });
  return out;
}

/** The root over a power of two of hashes. */
function foldPerfect(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < row.length; i += 2) above.push(hashNode(row[i] as Uint8Array, row[i + 1] as Uint8Array));
    row = above;
  }
  return row[0] as Uint8Array;
}
