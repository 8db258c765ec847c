/** What hash-tree renewals are over: data objects with the keys of their chains, those done already left out. */

import { utf8 } from '../domain/bytes.ts';
import { canonicalText } from '../domain/canonical-json.ts';
import { formatSeal, sealHeader } from '../domain/seal.ts';
import type { HashName } from '../domain/timestamp/hashes.ts';
import { parseNote } from '../log/note.ts';
import type { Queryable } from './pool.ts';

export interface WeakChain {
  readonly key: Uint8Array;
  /** The data object. */
  readonly data: Uint8Array;
  /** The checkpoint's token; a statement's chain has none beside the archive. */
  readonly first?: Uint8Array;
  /** Where the next page goes on. */
  readonly at: bigint;
}

/** Timestamped checkpoints larger than `after`, smallest first, without a chain under `hash`. */
export async function readWeakCheckpoints(
  db: Queryable,
  origin: string,
  hash: HashName,
  after: bigint,
  limit: number,
): Promise<readonly WeakChain[]> {
  const { rows } = await db.query<{ size: bigint; token: Buffer; token_sha256: Buffer; note: string }>(
    `SELECT t.size, t.token, t.token_sha256, c.note FROM timestamps t JOIN checkpoints c ON c.origin = t.origin AND c.size = t.size
     WHERE t.origin = $1 AND t.size > $2 AND NOT EXISTS (SELECT FROM archive_members m WHERE m.member = t.token_sha256 AND m.hash = $3)
     ORDER BY t.size LIMIT $4`,
    [origin, after.toString(), hash, limit],
  );
  return rows.map(({ size, token, token_sha256, note }) => ({
    key: new Uint8Array(token_sha256),
    data: utf8.encode(parseNote(note).text),
    first: new Uint8Array(token),
    at: size,
  }));
}

/** Statements recorded directly, of leaves beyond `after`, without a chain under `hash`. */
export async function readWeakStatements(
  db: Queryable,
  hash: HashName,
  after: bigint,
  limit: number,
): Promise<readonly WeakChain[]> {
  const { rows } = await db.query<{
    index: bigint;
    leaf: Buffer;
    statement: string;
    kid: string;
    version: number;
    signature: Buffer;
  }>(
    `SELECT l.index, l.leaf, s.statement, s.kid, s.version, s.signature FROM leaves l JOIN seals s ON s.proof_id = l.proof_id
     WHERE l.index > $1 AND EXISTS (SELECT FROM archive_members m WHERE m.member = l.leaf AND m.hash = 'SHA-256')
       AND NOT EXISTS (SELECT FROM archive_members m WHERE m.member = l.leaf AND m.hash = $2)
     ORDER BY l.index LIMIT $3`,
    [after.toString(), hash, limit],
  );
  return rows.map(({ index, leaf, statement, kid, version, signature }) => {
    const seal = formatSeal(sealHeader(kid, version), signature);
    const data = utf8.encode(`{"seal":${canonicalText(seal)},"statement":${statement}}`);
    return { key: new Uint8Array(leaf), data, at: index };
  });
}
