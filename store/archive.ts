/**
 * Tokens that protect older tokens, and statements, from the end of certificates and hash functions. A chain is found by
 * its key: SHA-256 of a checkpoint's token, or the leaf data of a statement that is recorded directly.
 */
import { createHash } from 'node:crypto';
import { concatBytes, toHex } from '../domain/bytes.ts';
import type { ArchivedToken } from '../domain/evidence-record/archive-steps.ts';
import { HASHES, type HashName } from '../domain/timestamp/hashes.ts';
import type { Queryable, Tx } from './pool.ts';

export interface NewArchiveToken {
  readonly kind: 'renewal' | 'direct';
  readonly hash: HashName;
  readonly tsa: string;
  /** DER, verified. */
  readonly token: Uint8Array;
  /** RFC 3339, µs. */
  readonly genTime: string;
  readonly serial: string;
  readonly policy: string;
  readonly crls: readonly Uint8Array[];
  readonly selfOperated: boolean;
  readonly acceptedAt: string;
  /** End of the authority's certificate. */
  readonly endsAt: string;
}

export interface NewMember {
  /** SHA-256 of the token that is renewed; for a direct record and for hash-tree renewals the key of the chain. */
  readonly member: Uint8Array;
  readonly path: readonly Uint8Array[];
  /** Of a hash-tree renewal: the tokens of the chain that it is over. */
  readonly covers?: number;
}

/** A token of a chain, with what a bundle shows of it. */
export interface ChainToken extends ArchivedToken {
  readonly tsa: string;
  readonly crls: readonly Uint8Array[];
}

/** A token without a successor. */
export interface DueToken {
  readonly tokenSha256: Uint8Array;
  readonly hash: HashName;
  /** What a tree holds of it. */
  readonly leaf: Uint8Array;
}

export interface DueSelection {
  /** Its certificate ends before; RFC 3339. */
  readonly endsBefore?: string;
  readonly acceptedBefore?: string;
  readonly tsa?: string;
}

const CHUNK = 2_000;
const MAX_CHAIN = 15;

/** Tokens that are the newest of their chain and that the selection names, of one hash function, at most `limit`. */
export async function readTokensToRenew(
  db: Queryable,
  { endsBefore, acceptedBefore, tsa }: DueSelection,
  limit: number,
): Promise<readonly DueToken[]> {
  const where = `renewed_at IS NULL AND ($1::timestamptz IS NULL OR ends_at IS NULL OR ends_at < $1)
    AND ($2::timestamptz IS NULL OR accepted_at < $2) AND ($3::text IS NULL OR tsa = $3)`;
  const { rows } = await db.query<{ token_sha256: Buffer; hash: HashName; token: Buffer | null }>(
    `(SELECT token_sha256, 'SHA-256' AS hash, NULL::bytea AS token FROM timestamps WHERE ${where} LIMIT $4)
     UNION ALL
     (SELECT token_sha256, hash, CASE hash WHEN 'SHA-256' THEN NULL ELSE token END FROM archive_tokens WHERE ${where} LIMIT $4)
     LIMIT $4`,
    [endsBefore ?? null, acceptedBefore ?? null, tsa ?? null, limit],
  );
  const [first] = rows;
  return rows
    .filter(({ hash }) => hash === first?.hash)
    .map(({ token_sha256, hash, token }) => ({
      tokenSha256: new Uint8Array(token_sha256),
      hash,
      leaf: token === null ? new Uint8Array(token_sha256) : HASHES[hash].hash(token),
    }));
}

/**
 * Keeps a token with what it covers, in the caller's transaction. Key: (member, hash), the first one stays; whoever comes
 * second adds nothing to it. `renewed`: SHA-256 of the tokens whose protection it takes over.
 */
export async function storeArchiveToken(
  tx: Tx,
  token: NewArchiveToken,
  members: readonly NewMember[],
  renewed: readonly Uint8Array[],
): Promise<void> {
  const { rows } = await tx.query<{ id: bigint }>(
    `INSERT INTO archive_tokens (kind, hash, tsa, token, token_sha256, gen_time, serial, policy, crls, self_operated, accepted_at, ends_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::bytea[], $10, $11, $12) RETURNING id`,
    [
      token.kind,
      token.hash,
      token.tsa,
      Buffer.from(token.token),
      createHash('sha256').update(token.token).digest(),
      token.genTime,
      token.serial,
      token.policy,
      token.crls.map((crl) => Buffer.from(crl)),
      token.selfOperated,
      token.acceptedAt,
      token.endsAt,
    ],
  );
  const id = rows[0]?.id;
  for (let i = 0; i < members.length; i += CHUNK) {
    const chunk = members.slice(i, i + CHUNK);
    await tx.query(
      `INSERT INTO archive_members (member, hash, token_id, path, covers)
       SELECT member, $4, $5, path, covers FROM unnest($1::bytea[], $2::bytea[], $3::integer[]) AS r (member, path, covers)
       ON CONFLICT (member, hash) DO NOTHING`,
      [
        chunk.map(({ member }) => Buffer.from(member)),
        chunk.map(({ path }) => Buffer.from(concatBytes(...path))),
        chunk.map(({ covers }) => covers ?? null),
        token.hash,
        id?.toString(),
      ],
    );
  }
  for (let i = 0; i < renewed.length; i += CHUNK) {
    const chunk = [renewed.slice(i, i + CHUNK).map((one) => Buffer.from(one)), token.acceptedAt];
    for (const table of ['timestamps', 'archive_tokens'])
      await tx.query(
        `UPDATE ${table} SET renewed_at = $2 WHERE token_sha256 = ANY ($1::bytea[]) AND renewed_at IS NULL`,
        chunk,
      );
  }
}

interface ChainRow {
  readonly key: Buffer;
  readonly hash: HashName;
  readonly path: Buffer;
  readonly covers: number | null;
  readonly tsa: string;
  readonly token: Buffer;
  readonly crls: readonly Buffer[];
}

/**
 * The chains of these keys by hex of the key, oldest token first, those without one left out. `hasFirst`: the chain
 * begins with a checkpoint's token, which is not here and is counted by what covers it.
 */
export async function readChains(
  db: Queryable,
  keys: readonly Uint8Array[],
  { hasFirst }: { readonly hasFirst: boolean },
): Promise<ReadonlyMap<string, readonly ChainToken[]>> {
  const { rows } = await db.query<ChainRow>(
    `WITH RECURSIVE chain AS (
       SELECT m.member AS key, m.hash, m.path, m.covers, m.token_id, 1 AS depth FROM archive_members m WHERE m.member = ANY ($1::bytea[])
       UNION ALL
       SELECT c.key, c.hash, m.path, m.covers, m.token_id, c.depth + 1
       FROM chain c JOIN archive_tokens t ON t.id = c.token_id JOIN archive_members m ON m.member = t.token_sha256 AND m.hash = c.hash
       WHERE c.depth < ${MAX_CHAIN})
     SELECT c.key, c.hash, c.path, c.covers, t.tsa, t.token, t.crls FROM chain c JOIN archive_tokens t ON t.id = c.token_id
     ORDER BY c.key, c.hash, c.depth`,
    [keys.map((key) => Buffer.from(key))],
  );
  const chains = new Map<string, ChainToken[]>();
  for (const row of rows) {
    const key = toHex(row.key);
    const chain = chains.get(key) ?? [];
    chains.set(key, chain);
    // What came after a hash-tree renewal under the old function is not covered by it and adds nothing.
    if (row.covers !== null) chain.length = Math.min(chain.length, row.covers - (hasFirst ? 1 : 0));
    chain.push(toChainToken(row));
  }
  return chains;
}

function toChainToken({ hash, path, tsa, token, crls }: ChainRow): ChainToken {
  const { bytes } = HASHES[hash];
  const hashes = Array.from(
    { length: path.length / bytes },
    (_, i) => new Uint8Array(path.subarray(i * bytes, (i + 1) * bytes)),
  );
  return { hash, path: hashes, tsa, token: new Uint8Array(token), crls: crls.map((crl) => new Uint8Array(crl)) };
}
