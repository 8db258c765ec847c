/** Evidence records over statements themselves, for tenants that ask: one further token for all of a timestamp window. */

import type { Clock } from '../../domain/clock.ts';
import { buildHashTree } from '../../domain/evidence-record/hash-tree.ts';
import { readUnrecorded, storeRecorded } from '../../store/direct-records.ts';
import type { Db } from '../../store/pool.ts';
import type { TsaPool } from './tsa-pool.ts';

/** Leaves under one token: what one window brings at full load. */
const MAX_LEAVES = 16_384;

export interface RecordStatementsDeps {
  readonly db: Db;
  readonly pool: Pick<TsaPool, 'stamp'>;
  readonly clock: Clock;
}

/**
 * Records the next stretch of timestamped leaves: a sorted tree over the leaf data (SHA-256 of JCS of seal and statement) of
 * those whose tenants ask, and one token over its root; none where nobody asks. True while more may be left.
 */
export async function recordStatements(
  { db, pool, clock }: RecordStatementsDeps,
  origin: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const stretch = await readUnrecorded(db, origin, MAX_LEAVES);
  if (stretch === undefined) return false;
  if (stretch.leaves.length === 0) {
    await storeRecorded(db, origin, stretch);
    return true;
  }
  const tree = buildHashTree(stretch.leaves, 'SHA-256');
  const { revocation: _verdict, ...stamped } = await pool.stamp(tree.root, signal);
  await storeRecorded(db, origin, stretch, {
    token: { ...stamped, kind: 'direct', hash: 'SHA-256', acceptedAt: clock.nowMicros() },
    members: stretch.leaves.map((leaf) => ({ member: leaf, path: tree.pathOf(leaf) ?? [] })),
  });
  return true;
}
