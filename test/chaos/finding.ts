/** What an audit is given and what it finds. */
import type { Stack } from '../../local/stack/start-stack.ts';
import type { Db } from '../../store/pool.ts';
import type { Acknowledged } from './clients.ts';
import type { Random } from './random.ts';
import type { SeenCheckpoint } from './watch-log.ts';

export interface Audit {
  readonly faults: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

export interface AuditInput {
  readonly stack: Stack;
  /** Where the stack keeps its files. */
  readonly dataDir: string;
  /** As proofline_owner. */
  readonly owner: Db;
  readonly acknowledged: readonly Acknowledged[];
  readonly seen: readonly SeenCheckpoint[];
  readonly random: Random;
}

/** Rows of a query whose every row is a fault. */
export async function faultsOf(db: Db, what: string, sql: string): Promise<string[]> {
  const { rows } = await db.query(`${sql} LIMIT 5`);
  return rows.map(
    (row) => `${what}: ${JSON.stringify(row, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v))}`,
  );
}
