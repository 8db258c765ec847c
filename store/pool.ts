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
  /** How long the server has to say that it cancelled; default 5 s. */
  readonly answerGraceMs?: number;
  /** A transaction in which nothing is said for so long is rolled back, and its connection closed; default 25 s. */
  readonly idleInTransactionMs?: number;
  readonly onError: (error: Error) => void;
}

const ANSWER_GRACE_MS = 5_000;
/** Longer than whatever we do inside a transaction beside SQL: the relay's calls to Temporal, of 10 s each. */
const IDLE_IN_TRANSACTION_MS = 25_000;

/** Opens a bounded pool. A lost idle connection is reported to `onError` and replaced by the next use. */
export function createPool(options: PoolOptions): Db {
  const { statementTimeoutMs = 30_000, answerGraceMs = ANSWER_GRACE_MS } = options;
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max,
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    statement_timeout: statementTimeoutMs,
    // A server that does not even say that it cancelled is given up; the connection with it.
    query_timeout: statementTimeoutMs + answerGraceMs,
    keepAlive: true,
    // A process that stopped inside a transaction must not hold its locks for ever; going on, it finds itself rolled back.
    idle_in_transaction_session_timeout: options.idleInTransactionMs ?? IDLE_IN_TRANSACTION_MS,
    // Sets of proofs are found by index probes into what is cached; at the cost of a spinning disk the planner reads whole tables instead.
    // Compiling a statement of milliseconds would take longer than the statement.
    options: '-c timezone=UTC -c datestyle=ISO -c random_page_cost=1.1 -c jit=off',
  });
  pool.on('error', options.onError);
  // Of a connection in use: its query rejects. Without a listener the event would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
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

/**
 * One statement that may take `withinMs` whatever the pool's bound, for what reads a whole table: the server cancels it then,
 * and until it has said so we wait for its answer. Given up by us alone, it would go on there beside its repeat. Within
 * `inTransaction`; what follows in it has the same time on the server.
 */
export async function queryWithin<R extends pg.QueryResultRow>(
  tx: Tx,
  withinMs: number,
  text: string,
  values: readonly unknown[],
): Promise<pg.QueryResult<R>> {
  await tx.query("SELECT set_config('statement_timeout', $1, true)", [`${withinMs}ms`]);
  return tx.query<R>({ text, values: [...values], query_timeout: withinMs + ANSWER_GRACE_MS } as pg.QueryConfig);
}

async function connect(db: Db): Promise<pg.PoolClient> {
  try {
    return await db.connect();
  } catch (error) {
    throw new ProoflineError('STORE_UNAVAILABLE', 'no connection', { cause: error });
  }
}

/** What pg says itself, without a code, when a connection is gone or silent. */
const LOST = ['Connection terminated', 'Client has encountered a connection error', 'Query read timeout'];

/**
 * Connection loss, server shutdown, the end of an idle transaction and of a statement past its time (SQLSTATE classes 08 and 57P, 25P03, 57014) become
 * STORE_UNAVAILABLE; the rest stays as it is.
 */
export function asStoreError(error: unknown): unknown {
  if (error instanceof ProoflineError || !(error instanceof Error)) return error;
  const code = (error as { code?: string }).code ?? '';
  const lost =
    code.startsWith('08') ||
    code.startsWith('57P') ||
    code === '25P03' ||
    // A statement past its time: the store is too busy.
    code === '57014' ||
    code === 'ECONNREFUSED' ||
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    LOST.some((words) => error.message.startsWith(words));
  return lost ? new ProoflineError('STORE_UNAVAILABLE', 'the connection was lost', { cause: error }) : error;
}
