/**
 * Tokens of the log's checkpoints. Sizes of stored tokens only grow, so the first token that covers a leaf stays the first.
 */
import { createHash } from 'node:crypto';
import { ProoflineError } from '../domain/errors.ts';
import type { Queryable, Tx } from './pool.ts';

export interface NewToken {
  readonly origin: string;
  readonly size: bigint;
  /** Name of the authority. */
  readonly tsa: string;
  /** DER of the TimeStampToken, verified. */
  readonly token: Uint8Array;
  /** RFC 3339, µs. */
  readonly genTime: string;
  /** Unsigned hex. */
  readonly serial: string;
  readonly policy: string;
  /** DER of the lists by which the chain was good. */
  readonly crls: readonly Uint8Array[];
  readonly selfOperated: boolean;
  /** End of the authority's certificate, RFC 3339. */
  readonly endsAt: string;
  /** RFC 3339, µs, our clock. */
  readonly acceptedAt: string;
}

export interface StoredTimestamp extends Omit<NewToken, 'endsAt'> {
  /** Null where it was not read at acceptance. */
  readonly endsAt: string | null;
  /** SHA-256 of the token. */
  readonly tokenSha256: Uint8Array;
}

/**
 * Keeps the first token of a checkpoint and moves `log_progress.timestamped_size` up to it, in one transaction; a token
 * of a size that is covered already is ignored. Key (origin, size). Locks the row of `log_progress`, nothing else.
 * Throws TSA_BAD_TOKEN when the authority used the serial before; CONFLICT when the checkpoint was never published.
 */
export async function storeToken(tx: Tx, token: NewToken): Promise<'stored' | 'kept-earlier'> {
  await tx.query('INSERT INTO log_progress (origin) VALUES ($1) ON CONFLICT (origin) DO NOTHING', [token.origin]);
  const progress = await tx.query<{ timestamped_size: bigint }>(
    'SELECT timestamped_size FROM log_progress WHERE origin = $1 FOR UPDATE',
    [token.origin],
  );
  const covered = progress.rows[0]?.timestamped_size ?? 0n;
  if (token.size <= covered) return 'kept-earlier';
  try {
    const { rowCount } = await tx.query(INSERT_TOKEN, [
      token.origin,
      token.size,
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
    ]);
    if (rowCount !== 1) throw new ProoflineError('CONFLICT', `no published checkpoint of size ${token.size}`);
  } catch (error) {
    throw isSerialTaken(error)
      ? new ProoflineError('TSA_BAD_TOKEN', `${token.tsa}: 13 SERIAL_REUSED: serial ${token.serial}`, { cause: error })
      : error;
  }
  // While nobody asks for direct records, nothing is left behind to be looked at when somebody does.
  await tx.query(
    `UPDATE log_progress SET timestamped_size = $2,
       recorded_size = CASE WHEN EXISTS (SELECT FROM tenants WHERE direct_records) THEN recorded_size ELSE $2 END
     WHERE origin = $1`,
    [token.origin, token.size],
  );
  return 'stored';
}

const INSERT_TOKEN = `
  INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, crls, self_operated, accepted_at, ends_at)
  SELECT origin, size, $3, $4, $5, $6::timestamptz, $7, $8, $9::bytea[], $10, $11::timestamptz, $12::timestamptz
  FROM checkpoints WHERE origin = $1 AND size = $2`;

/** Unique (tsa, serial); (origin, size) cannot collide under the lock. */
function isSerialTaken(error: unknown): boolean {
  return error instanceof Error && (error as { code?: string }).code === '23505';
}

/** Whether no stored token of this authority bears the serial. The unique index decides between two at once. */
export async function isSerialUnused(db: Queryable, tsa: string, serial: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `SELECT FROM timestamps WHERE tsa = $1 AND serial = $2
     UNION ALL SELECT FROM archive_tokens WHERE tsa = $1 AND serial = $2
     UNION ALL SELECT FROM certificate_pdfs WHERE tsa = $1 AND serial = $2`,
    [tsa, serial],
  );
  return rowCount === 0;
}

export interface UnstampedCheckpoint {
  readonly size: bigint;
  /** Signed. */
  readonly note: string;
  /** A sealed batch of the lane `prompt` has all of its leaves in it and not yet under a timestamp: a token would spare it its wait. */
  readonly completesPrompt: boolean;
}

/** The newest published checkpoint that covers a leaf without a timestamp. */
export async function readUnstampedCheckpoint(db: Queryable, origin: string): Promise<UnstampedCheckpoint | undefined> {
  const { rows } = await db.query<UnstampedCheckpoint>(
    `SELECT c.size, c.note, EXISTS (
       SELECT FROM batches b WHERE b.state = 'SEALED' AND b.lane = 'prompt' AND b.evidence_complete_at IS NULL AND b.leaves_pending = 0
         AND b.max_leaf_index >= p.stamped AND b.max_leaf_index < c.size) AS "completesPrompt"
     FROM (SELECT coalesce((SELECT timestamped_size FROM log_progress WHERE origin = $1), 0) AS stamped) p
     CROSS JOIN LATERAL (SELECT size, note FROM checkpoints WHERE origin = $1 AND size > p.stamped ORDER BY size DESC LIMIT 1) c`,
    [origin],
  );
  return rows[0];
}

/** The first token that covers the leaf. */
export async function readCoveringTimestamp(
  db: Queryable,
  origin: string,
  index: bigint,
): Promise<StoredTimestamp | undefined> {
  const { rows } = await db.query<TimestampRow>(
    'SELECT * FROM timestamps WHERE origin = $1 AND size > $2 ORDER BY size LIMIT 1',
    [origin, index],
  );
  const [row] = rows;
  return row === undefined ? undefined : toTimestamp(row);
}

interface TimestampRow {
  readonly origin: string;
  readonly size: bigint;
  readonly tsa: string;
  readonly token: Buffer;
  readonly token_sha256: Buffer;
  readonly gen_time: string;
  readonly serial: string;
  readonly policy: string;
  readonly crls: readonly Buffer[];
  readonly self_operated: boolean;
  readonly accepted_at: string;
  readonly ends_at: string | null;
}

const toTimestamp = (row: TimestampRow): StoredTimestamp => ({
  origin: row.origin,
  size: row.size,
  tsa: row.tsa,
  token: new Uint8Array(row.token),
  tokenSha256: new Uint8Array(row.token_sha256),
  genTime: row.gen_time,
  serial: row.serial,
  policy: row.policy,
  crls: row.crls.map((crl) => new Uint8Array(crl)),
  selfOperated: row.self_operated,
  acceptedAt: row.accepted_at,
  endsAt: row.ends_at,
});
