import { MAX_COMMANDS } from '../domain/commands.ts';
import { type Db, inTransaction } from './pool.ts';

/**
 * Turns the next `MAX_COMMANDS` proofs that the oldest open filter matches into commands, from its cursor. Key (request,
 * cursor). Returns true when a filter may have more. Proofs that no longer match when their turn comes get none.
 */
export function expandFilters(db: Db): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ id: string; at: string }>(
      `SELECT id, created_at AS at FROM command_requests WHERE NOT is_expanded ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`,
    );
    const request = rows[0];
    if (request === undefined) return false;
    const { rows: matched } = await tx.query<{ id: string; received_at: string }>(
      `SELECT p.id, p.received_at FROM command_requests r JOIN proofs p ON p.tenant_id = (r.filter ->> 'tenant')::uuid
       WHERE r.id = $1 AND (p.received_at, p.id) < (coalesce(r.cursor_at, 'infinity'), coalesce(r.cursor_id, '00000000-0000-0000-0000-000000000000'))
         AND matches_filter(p, r.filter, r.created_at)
       ORDER BY p.received_at DESC, p.id DESC LIMIT $2`,
      [request.id, MAX_COMMANDS],
    );
    const last = matched.at(-1);
    if (last !== undefined) {
      const { rows: numbers } = await tx.query<{ next: number }>(
        'SELECT coalesce(max(n) + 1, 0) AS next FROM proof_commands WHERE request_id = $1',
        [request.id],
      );
      await tx.query(
        `INSERT INTO proof_commands (id, request_id, n, proof_id, tenant_id, verb, actor, reason, created_at)
         SELECT gen_random_uuid(), r.id, $3::int + u.n::int - 1, p.id, p.tenant_id, r.verb, r.actor, r.reason, r.created_at
         FROM command_requests r, unnest($2::uuid[]) WITH ORDINALITY AS u (proof, n) JOIN proofs p ON p.id = u.proof
         WHERE r.id = $1`,
        [request.id, matched.map((row) => row.id), numbers[0]?.next ?? 0],
      );
    }
    const more = matched.length === MAX_COMMANDS;
    await tx.query(
      `UPDATE command_requests SET cursor_at = coalesce($2, cursor_at), cursor_id = coalesce($3, cursor_id), is_expanded = $4 WHERE id = $1`,
      [request.id, last?.received_at ?? null, last?.id ?? null, !more],
    );
    await tx.query("SELECT pg_notify('proofline_done', '')");
    return matched.length > 0;
  });
}
