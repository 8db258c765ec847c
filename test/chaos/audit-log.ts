/**
 * The log as anybody can read it: all leaf hashes from the tiles give the root of every checkpoint that was ever
 * seen, and each proof's leaf, computed from its statement and seal, is in it once, at its index.
 */
import { formatSeal, leafDataOfText, sealHeader } from '../../domain/seal.ts';
import { areEqual } from '../../log/bytes.ts';
import { appendLeafHashes, type Edge, EMPTY_EDGE, formatTilePath, rootOfEdge, TILE_WIDTH } from '../../log/tiles.ts';
import { HASH_BYTES, hashLeaf } from '../../log/tree.ts';
import type { Db } from '../../store/pool.ts';
import type { Audit, AuditInput } from './finding.ts';

/** Leaves judged at once. */
const PAGE = 20_000;

export async function auditLog({ stack, owner, seen }: AuditInput): Promise<Audit> {
  const last = seen.at(-1);
  if (last === undefined) return { faults: ['no checkpoint was ever seen'], figures: {} };
  const hashes = await readLeafHashes(stack.info.apiUrl, last.size);
  const faults: string[] = [];
  let edge: Edge = EMPTY_EDGE;
  for (const { size, root } of seen) {
    edge = appendLeafHashes(edge, hashes.slice(Number(edge.size), Number(size))).edge;
    if (!areEqual(rootOfEdge(edge), root)) faults.push(`the checkpoint of size ${size} is of another log`);
  }
  faults.push(...(await auditStored(owner, seen)), ...(await auditLeaves(owner, hashes)));
  return { faults, figures: { leaves: hashes.length, 'checkpoints seen': seen.length } };
}

async function readLeafHashes(apiUrl: string, size: bigint): Promise<readonly Uint8Array[]> {
  const hashes: Uint8Array[] = [];
  for (let index = 0n; BigInt(hashes.length) < size; index++) {
    const width = Math.min(TILE_WIDTH, Number(size) - hashes.length);
    const path = formatTilePath({ level: 0, index, width });
    const response = await fetch(`${apiUrl}/log/${path}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200 || bytes.length !== width * HASH_BYTES)
      throw new Error(`${path}: ${response.status}, ${bytes.length} bytes`);
    for (let at = 0; at < bytes.length; at += HASH_BYTES) hashes.push(bytes.subarray(at, at + HASH_BYTES));
  }
  return hashes;
}

/** What the witness saw is what is stored. */
async function auditStored(owner: Db, seen: AuditInput['seen']): Promise<string[]> {
  const { rows } = await owner.query<{ size: bigint; root: Uint8Array }>('SELECT size, root FROM checkpoints');
  const stored = new Map(rows.map((row) => [row.size, row.root]));
  return seen.flatMap(({ size, root }) => {
    const own = stored.get(size);
    return own !== undefined && areEqual(own, root)
      ? []
      : [`the checkpoint of size ${size} that was seen is not stored`];
  });
}

async function auditLeaves(owner: Db, hashes: readonly Uint8Array[]): Promise<string[]> {
  const faults: string[] = [];
  let found = 0;
  for (let from = 0; from < hashes.length; from += PAGE) {
    const { rows } = await owner.query<{
      kid: string;
      version: number;
      statement: string;
      signature: Uint8Array;
      index: bigint;
    }>(
      'SELECT s.kid, s.version, s.statement, s.signature, l.index FROM leaves l JOIN seals s USING (proof_id) WHERE l.index >= $1::bigint AND l.index < $2::bigint',
      [from, from + PAGE],
    );
    found += rows.length;
    for (const { kid, version, statement, signature, index } of rows) {
      const leaf = hashLeaf(leafDataOfText(statement, formatSeal(sealHeader(kid, version), signature)));
      const published = hashes[Number(index)];
      if (published === undefined || !areEqual(leaf, published)) faults.push(`leaf ${index} is not its proof's`);
    }
  }
  const { rows } = await owner.query<{ n: number }>('SELECT count(*)::int AS n FROM seals WHERE signature IS NOT NULL');
  if (found !== hashes.length || rows[0]?.n !== hashes.length)
    faults.push(`${rows[0]?.n} sealed proofs, ${found} with a leaf, in a tree of ${hashes.length} leaves`);
  return faults.slice(0, 5);
}
