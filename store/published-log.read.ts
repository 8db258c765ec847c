/** The log as files: what C2SP tlog-tiles paths name. */
import { ProoflineError } from '../domain/errors.ts';
import { LogFormatError } from '../log/errors.ts';
import { parseTilePath, TILE_WIDTH, type TileId } from '../log/tiles.ts';
import { readTile } from './log.read.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** A tile's bytes, and whether they can never change. */
export interface PublishedTile {
  readonly bytes: Uint8Array;
  readonly isFull: boolean;
}

/** The tile or entry bundle at `tile/…`. Throws LOG_TILE_NOT_FOUND for a misspelt path and beyond the newest checkpoint. */
export async function readTileAt(db: Queryable, origin: string, path: string): Promise<PublishedTile> {
  const tile = parsePath(path);
  try {
    return { bytes: await readTile(db, origin, tile), isFull: tile.width === TILE_WIDTH };
  } catch (error) {
    throw asStoreError(error);
  }
}

function parsePath(path: string): TileId {
  try {
    return parseTilePath(path);
  } catch (cause) {
    if (cause instanceof LogFormatError) throw new ProoflineError('LOG_TILE_NOT_FOUND', 'not a tile path', { cause });
    throw cause;
  }
}
