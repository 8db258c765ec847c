/** Leaves of tenants that ask for evidence records over their statements themselves (`tenants.direct_records`). */
import { type NewArchiveToken, type NewMember, storeArchiveToken } from './archive.ts';
import { asStoreError, type Db, inTransaction, type Queryable } from './pool.ts';

export interface UnrecordedLeaves {
  /** Leaf data of those that are to be recorded. */
  readonly leaves: readonly Uint8Array[];
  readonly from: bigint;
  /** Everything below is looked at. */
  readonly to: bigint;
}

/** The next stretch of timestamped leaves that was not looked at, at most `limit`; undefined when there is none. */
export async function readUnrecorded(
  db: Queryable,
  origin: string,
  limit: number,
): Promise<UnrecordedLeaves | undefined> {
  try {
    const progress = await db.query<{ from: bigint; to: bigint }>(
      `SELECT recorded_size AS "from", least(timestamped_size, recorded_size + $2) AS "to" FROM log_progress
       WHERE origin = $1 AND recorded_size < timestamped_size`,
      [origin, limit],
    );
    const [stretch] = progress.rows;
    if (stretch === undefined) return undefined;
    const { rows } = await db.query<{ leaf: Buffer }>(
      `SELECT l.leaf FROM leaves l JOIN tenants t ON t.id = l.tenant_id AND t.direct_records
       WHERE l.index >= $1 AND l.index < $2 ORDER BY l.index`,
      [stretch.from.toString(), stretch.to.toString()],
    );
    return { ...stretch, leaves: rows.map(({ leaf }) => new Uint8Array(leaf)) };
  } catch (error) {
    throw asStoreError(error);
  }
}

/**
 * Moves `recorded_size` over a stretch, with the token over its leaves if there are any, in one transaction. Key (origin, from):
 * who comes second stores nothing. Locks the row of `log_progress`.
 */
export async function storeRecorded(
  db: Db,
  origin: string,
  { from, to }: Pick<UnrecordedLeaves, 'from' | 'to'>,
  recorded?: { readonly token: NewArchiveToken; readonly members: readonly NewMember[] },
): Promise<void> {
  await inTransaction(db, async (tx) => {
    const { rowCount } = await tx.query(
      'UPDATE log_progress SET recorded_size = $3 WHERE origin = $1 AND recorded_size = $2',
      [origin, from.toString(), to.toString()],
    );
    if (rowCount === 1 && recorded !== undefined) await storeArchiveToken(tx, recorded.token, recorded.members, []);
  });
}
