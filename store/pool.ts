import pg from 'pg';
import { ProoflineError } from '../domain/errors.ts';

/** A connection inside a transaction, or a pool: whatever takes one statement. */
export type Queryable = Pick<pg.ClientBase, 'query'>;
/** A connection inside a transaction. */
export type Tx = pg.ClientBase;
export type Db = pg.Pool;

// bigint columns are log sizes and indices: exact, so BigInt.
pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);
// Instants keep their microseconds: RFC 3339 UTC text, never a Date. Every session runs in UTC with ISO dates.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, toRfc3339);

/** `2026-01-31 08:00:00.5+00` becomes `2026-01-31T08:00:00.500000Z`. */
function toRfc3339(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text);
  if (match === null) throw new Error(`not a UTC instant: ${text}`);
  return `${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(6, '0')}Z`;
}

export interface PoolOptions {
  /** `postgres://role:password@host:port/database`. */
  readonly url: string;
  readonly max: number;
  readonly applicationName: string;
  /** A statement is cancelled after this; sets of 2,000 proofs take well under a second. */
  readonly statementTimeoutMs?: number;
  readonly onError: (error: Error) => void;
}

/** Opens a bounded pool. A lost idle connection is reported to `onError` and replaced by the next use. */
export function createPool(options: PoolOptions): Db {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max,
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    statement_timeout: options.statementTimeoutMs ?? 30_000,
    options: '-c timezone=UTC -c datestyle=ISO',
  });
  pool.on('error', options.onError);
  return pool;
}

/**
 * Runs `work` in one transaction; commits if it returns, rolls back if it throws. An unreachable database becomes
 * STORE_UNAVAILABLE, of which the caller does not know whether it committed.
 */
export async function inTransaction<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await connect(db);
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    broken = await client.query('ROLLBACK').then(
      () => undefined,
      (lost: Error) => lost,
    );
    throw asStoreError(error);
  } finally {
    client.release(broken);
  }
}

async function connect(db: Db): Promise<pg.PoolClient> {
  try {
    return await db.connect();
  } catch (error) {
    throw new ProoflineError('STORE_UNAVAILABLE', 'no connection', { cause: error });
  }
}

/** Connection loss and server shutdown (SQLSTATE classes 08, 57P) become STORE_UNAVAILABLE; the rest stays as it is. */
export function asStoreError(error: unknown): unknown {
  if (error instanceof ProoflineError || !(error instanceof Error)) return error;
  const code = (error as { code?: string }).code ?? '';
  const lost =
    code.startsWith('08') ||
    code.startsWith('57P') ||
    code === 'ECONNREFUSED' ||
    code === 'ECONNRESET' ||
    error.message.startsWith('Connection terminated');
  return lost ? new ProoflineError('STORE_UNAVAILABLE', 'the connection was lost', { cause: error }) : error;
}
