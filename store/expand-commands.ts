import { MAX_COMMANDS } from '../domain/commands.ts';
import { type Db, inTransaction, type Tx } from './pool.ts';
import { ringDone } from './ring-done.ts';

/** Proofs that one step reads, whatever it finds: a rare match is found step by step, none of which takes a second. */
const STEP_ROWS = 20_000;

interface Open {
  readonly id: string;
  readonly filter: unknown;
  /** As Postgres writes it: may be infinite. */
  readonly floor: string;
  readonly cursorAt: string;
  readonly cursorId: string;
  readonly countedAt: string | null;
  readonly countedId: string | null;
}

interface Read {
  readonly id: string;
  readonly at: string;
  readonly isMatch: boolean;
  /** The last that the step may read. */
  readonly isLast: boolean;
  /** Below what was counted when the filter was asked. */
  readonly isUncounted: boolean;
}

/**
 * One step of one open filter, the one whose turn it is: reads its next `stepRows` proofs from its cursor on, turns those
 * that match into commands, and moves the cursor over what was read, at most past `MAX_COMMANDS` matches. Key (request,
 * cursor). Returns whether there was one. Proofs that no longer match when their turn comes get no command.
 */
export function expandFilters(db: Db, stepRows = STEP_ROWS): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<Open>(
      `SELECT id, filter, floor_at::text AS floor, cursor_at::text AS "cursorAt", cursor_id AS "cursorId", counted_at::text AS "countedAt", counted_id AS "countedId"
       FROM command_requests WHERE NOT is_expanded ORDER BY turn LIMIT 1 FOR UPDATE SKIP LOCKED`,
    );
    const request = rows[0];
    if (request === undefined) return false;
    const read = await readStep(tx, request, stepRows);
    const matched = read.filter((row) => row.isMatch);
    await insertCommands(tx, request.id, matched);
    const last = read.at(-1);
    const isEnd = read.length < MAX_COMMANDS && last?.isLast !== true;
    await tx.query(
      `UPDATE command_requests SET cursor_at = coalesce($2, cursor_at), cursor_id = coalesce($3, cursor_id), matched = matched + $4,
         counted_at = CASE WHEN NOT $5 THEN counted_at END, counted_id = CASE WHEN NOT $5 THEN counted_id END, is_expanded = $5, turn = DEFAULT
       WHERE id = $1`,
      [request.id, last?.at ?? null, last?.id ?? null, matched.filter((row) => row.isUncounted).length, isEnd],
    );
    if (isEnd) await ringDone(tx, [request.id]);
    return true;
  });
}

/** What matches, and the last proof read, in the order of the index: the first `MAX_COMMANDS` of them, and no row behind. */
async function readStep(tx: Tx, request: Open, stepRows: number): Promise<readonly Read[]> {
  // A plan that sorts reads the tenant's whole history first, and statistics behind a flood may prefer it.
  await tx.query('SET LOCAL enable_sort = off');
  const { rows } = await tx.query<Read>(
    `SELECT f.id, f.received_at AS at, f.is_match AS "isMatch", f.n = $5 AS "isLast",
       coalesce((f.received_at, f.id) < ($6::timestamptz, $7::uuid), false) AS "isUncounted"
     FROM read_filter($1, $2, $3, $4, $5) f WHERE f.is_match OR f.n = $5 ORDER BY f.received_at DESC, f.id DESC LIMIT $8`,
    [
      JSON.stringify(request.filter),
      request.floor,
      request.cursorAt,
      request.cursorId,
      stepRows,
      request.countedAt,
      request.countedId,
      MAX_COMMANDS,
    ],
  );
  return rows;
}

async function insertCommands(tx: Tx, request: string, matched: readonly Read[]): Promise<void> {
  if (matched.length === 0) return;
  const { rows } = await tx.query<{ next: number }>(
    'SELECT coalesce(max(n) + 1, 0) AS next FROM proof_commands WHERE request_id = $1',
    [request],
  );
  await tx.query(
    `INSERT INTO proof_commands (id, request_id, n, proof_id, tenant_id, verb, actor, reason, created_at)
     SELECT gen_random_uuid(), r.id, $3::int + u.n::int - 1, p.id, p.tenant_id, r.verb, r.actor, r.reason, r.created_at
     FROM command_requests r, unnest($2::uuid[]) WITH ORDINALITY AS u (proof, n) JOIN proofs p ON p.id = u.proof
     WHERE r.id = $1`,
    [request, matched.map((row) => row.id), rows[0]?.next ?? 0],
  );
}
