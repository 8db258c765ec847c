import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import {
  appendLeafHashes,
  checkEdge,
  createTileNodeReader,
  type Edge,
  EMPTY_EDGE,
  formatEntryBundle,
  formatTilePath,
  parseEntryBundle,
  parseTilePath,
  rootOfEdge,
  tileWidth,
} from './tiles.ts';
import { hashLeaf, makeConsistencyProof, makeInclusionPath, rootOfLeaves } from './tree.ts';

interface GoVectors {
  readonly roots: readonly { size: number; root: string }[];
  readonly inclusion: readonly { index: number; size: number; path: string[] }[];
  readonly consistency: readonly { first: number; second: number; proof: string[] }[];
  readonly tilesOf66000: readonly { level: number; index: number; width: number; sha256: string }[];
  readonly tilePaths: readonly { level: number; index: string; width: number; path: string }[];
}

const go = JSON.parse(readFileSync(new URL('./vectors/go-tlog.json', import.meta.url), 'utf8')) as GoVectors;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const numbered = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => hashLeaf(sha256(new TextEncoder().encode(`leaf ${i}`))));

/** A log kept as its full tiles and its edge, as the store keeps it. */
class TileLog {
  edge: Edge = EMPTY_EDGE;
  root = rootOfEdge(EMPTY_EDGE);
  readonly tiles = new Map<string, Uint8Array>();

  append(leafHashes: readonly Uint8Array[]): void {
    const { edge, root, fullTiles } = appendLeafHashes(this.edge, leafHashes);
    for (const tile of fullTiles) this.tiles.set(`${tile.level}/${tile.index}`, tile.hashes);
    this.edge = edge;
    this.root = root;
  }

  reader() {
    return createTileNodeReader((level, index) => {
      const tile = this.tiles.get(`${level}/${index}`) ?? this.edge.levels[level];
      if (tile === undefined) throw new Error(`no tile ${level}/${index}`);
      return tile;
    });
  }
}

describe('a log of tiles', () => {
  it('agrees with golang.org/x/mod/sumdb/tlog on roots, inclusion paths and consistency proofs up to 66,000 leaves', () => {
    const leaves = numbered(66_000);
    const log = new TileLog();
    let size = 0;
    for (const vector of go.roots) {
      log.append(leaves.slice(size, vector.size));
      size = vector.size;
      expect(hex(log.root)).toBe(vector.root);
    }
    for (const { index, size: of, path } of go.inclusion)
      expect(makeInclusionPath(BigInt(index), BigInt(of), log.reader()).map(hex)).toEqual(path);
    for (const { first, second, proof } of go.consistency)
      expect(makeConsistencyProof(BigInt(first), BigInt(second), log.reader()).map(hex)).toEqual(proof);
  });

  it('has tiles, full and partial, of the same bytes as those of golang.org/x/mod/sumdb/tlog', () => {
    const log = new TileLog();
    log.append(numbered(66_000));
    for (const { level, index, width, sha256: expected } of go.tilesOf66000) {
      const tile = log.tiles.get(`${level}/${index}`) ?? log.edge.levels[level] ?? new Uint8Array(0);
      expect(tile.length).toBe(32 * width);
      expect(hex(sha256(tile))).toBe(expected);
    }
  });

  it('is the same however the leaves were divided into appends', () => {
    const leaves = numbered(1500);
    const whole = new TileLog();
    whole.append(leaves);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 12 }), (steps) => {
        const log = new TileLog();
        let at = 0;
        for (const step of [...steps, 1500]) {
          log.append(leaves.slice(at, at + step));
          at = Math.min(1500, at + step);
          checkEdge(log.edge);
          if (hex(rootOfLeaves(leaves.slice(0, at))) !== hex(log.root)) throw new Error(`root at ${at}`);
        }
        expect(log.edge).toEqual(whole.edge);
        expect([...log.tiles]).toEqual([...whole.tiles]);
      }),
      { numRuns: 30 },
    );
  });

  it('knows the width of each tile of a tree of 70,000 leaves, as the specification lists them', () => {
    expect([tileWidth(0, 272n, 70_000n), tileWidth(0, 273n, 70_000n), tileWidth(0, 274n, 70_000n)]).toEqual([
      256, 112, 0,
    ]);
    expect([tileWidth(1, 0n, 70_000n), tileWidth(1, 1n, 70_000n), tileWidth(1, 2n, 70_000n)]).toEqual([256, 17, 0]);
    expect([tileWidth(2, 0n, 70_000n), tileWidth(3, 0n, 70_000n), tileWidth('entries', 273n, 70_000n)]).toEqual([
      1, 0, 112,
    ]);
    expect([tileWidth(0, 0n, 256n), tileWidth(1, 0n, 256n)]).toEqual([256, 1]);
  });

  it('refuses an edge whose widths are not those of its size', () => {
    const log = new TileLog();
    log.append(numbered(300));
    expect(() => checkEdge({ ...log.edge, size: 301n })).toThrow('RANGE');
    expect(() => checkEdge({ ...log.edge, levels: log.edge.levels.slice(0, 1) })).toThrow('RANGE');
  });
});

describe('tile paths', () => {
  it('are those of golang.org/x/mod/sumdb/tlog', () => {
    for (const { level, index, width, path } of go.tilePaths) {
      expect(formatTilePath({ level, index: BigInt(index), width })).toBe(path);
      expect(parseTilePath(path)).toEqual({ level, index: BigInt(index), width });
    }
    expect(formatTilePath({ level: 'entries', index: 1234067n, width: 256 })).toBe('tile/entries/x001/x234/067');
    expect(parseTilePath('tile/entries/x001/x234/067.p/8')).toEqual({ level: 'entries', index: 1234067n, width: 8 });
  });

  it('have one spelling each', () => {
    const wrong = [
      'tile/00/000',
      'tile/64/000',
      'tile/0/0',
      'tile/0/x000/001',
      'tile/0/x001/1',
      'tile/0/1000',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000.p/',
      'tile/0/000/',
      '/tile/0/000',
      'tile/0/x001/x234',
      'tile/-1/000',
      'tile/0/x010/x000/x000/x000/x000/x000/000',
      'tile/0/000\n',
      'tile/Entries/000',
    ];
    for (const path of wrong) expect(() => parseTilePath(path)).toThrow('TILE_PATH');
    expect(() => formatTilePath({ level: 0, index: -1n, width: 256 })).toThrow('TILE_PATH');
    expect(() => formatTilePath({ level: 0, index: 0n, width: 0 })).toThrow('TILE_PATH');
  });

  it('read back as written', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant('entries' as const), fc.integer({ min: 0, max: 63 })),
        fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
        fc.integer({ min: 1, max: 256 }),
        (level, index, width) => {
          expect(parseTilePath(formatTilePath({ level, index, width }))).toEqual({ level, index, width });
        },
      ),
    );
  });
});

describe('entry bundles', () => {
  it('read back as written and are read to the last byte', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (entries) => {
        const bundle = formatEntryBundle(entries);
        expect(parseEntryBundle(bundle, entries.length).map(hex)).toEqual(entries.map(hex));
        expect(() => parseEntryBundle(bundle, entries.length + 1)).toThrow('ENTRY_BUNDLE');
        expect(() => parseEntryBundle(Uint8Array.from([...bundle, 0]), entries.length)).toThrow('ENTRY_BUNDLE');
      }),
    );
  });

  it('put the length of each entry before it in two bytes, the higher first', () => {
    expect(hex(formatEntryBundle([Uint8Array.of(1, 2, 3), new Uint8Array(258)])).slice(0, 16)).toBe('0003010203010200');
    expect(() => formatEntryBundle([new Uint8Array(65_536)])).toThrow('ENTRY_BUNDLE');
  });
});
