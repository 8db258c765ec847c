/** The database of a process that dies right after a certain commit. */
import type pg from 'pg';
import type { Db } from '../../store/pool.ts';

export interface CrashingDb {
  readonly db: Db;
  /** The process dies after the next commit whose changed tables satisfy this. */
  arm(isFatal: (tables: readonly string[]) => boolean): void;
  isDead(): boolean;
  /** The process begins anew. */
  revive(): void;
}

/** Whether a commit changed all of these tables, and none of those named with a `!` before. */
export const changes =
  (...wanted: readonly string[]) =>
  (tables: readonly string[]): boolean =>
    wanted.every((name) => (name.startsWith('!') ? !tables.includes(name.slice(1)) : tables.includes(name)));

const CHANGES = new Set(['INSERT', 'UPDATE', 'DELETE']);

/** Over a pool of its own: dead, it refuses every statement, as if nobody were there to send it. */
export function createCrashingDb(pool: Db): CrashingDb {
  let isFatal: ((tables: readonly string[]) => boolean) | undefined;
  let isDead = false;
  type Query = (...args: unknown[]) => Promise<pg.QueryResult>;

  const refuse = (): void => {
    if (isDead) throw new Error('the process is dead');
  };
  const committed = (tables: readonly string[]): void => {
    if (isFatal?.(tables) === true) isDead = true;
    refuse();
  };
  const textOf = ([first]: readonly unknown[]): string =>
    typeof first === 'string' ? first : ((first as { text?: string }).text ?? '');
  const tablesOf = (text: string): string[] =>
    [...text.matchAll(/(?<!\bFOR |\bKEY )\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)/g)].map(
      ([, table]) => table ?? '',
    );
  // One statement may change several tables and end with a SELECT.
  const hasChanged = ({ command, rowCount }: pg.QueryResult, text: string): boolean =>
    (CHANGES.has(command) || (command === 'SELECT' && tablesOf(text).length > 0)) && (rowCount ?? 0) > 0;

  /** Knows what the transaction under way has changed. */
  const watch = (client: pg.PoolClient): void => {
    const query = client.query.bind(client) as unknown as Query;
    let changed: string[] = [];
    const watched: Query = async (...args) => {
      const text = textOf(args);
      // A transaction of a dead process is rolled back by the server.
      if (text !== 'ROLLBACK') refuse();
      const result = await query(...args);
      if (text === 'BEGIN' || text === 'ROLLBACK') changed = [];
      else if (text === 'COMMIT') {
        if (changed.length > 0) committed(changed);
      } else if (hasChanged(result, text)) changed.push(...tablesOf(text));
      return result;
    };
    Object.assign(client, { query: watched });
  };

  pool.on('connect', watch);
  const db = new Proxy(pool, {
    get(target, name) {
      if (name === 'connect') {
        return async () => {
          refuse();
          return target.connect();
        };
      }
      if (name === 'query') {
        return async (...args: unknown[]) => {
          refuse();
          const client = await target.connect();
          try {
            const result = await (client.query as unknown as Query)(...args);
            if (hasChanged(result, textOf(args))) committed(tablesOf(textOf(args)));
            return result;
          } finally {
            client.release();
          }
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    db,
    arm(next) {
      isFatal = next;
    },
    isDead: () => isDead,
    revive() {
      isFatal = undefined;
      isDead = false;
    },
  };
}
