import { expect } from '@jest/globals';
import type { TenantId } from '../../domain/ids.ts';
import type { BatchLife } from './batch-life.ts';
import type { TestDatabase } from './database.ts';

/**
 * What must hold of the proofs of a tenant, the only one, once all came to their end, asked of the tables alone. Returns how
 * many came to which. Whoever was retried has been in some state twice.
 */
export async function checkLives(
  test: TestDatabase,
  life: BatchLife,
  tenant: TenantId,
  { retried = false } = {},
): Promise<Record<string, number>> {
  const owner = test.pool('proofline_owner');
  const none = async (what: string, sql: string): Promise<void> =>
    expect({ what, rows: (await owner.query(sql)).rows }).toEqual({ what, rows: [] });
  await none('a command is undecided', "SELECT id FROM proof_commands WHERE state = 'PENDING'");
  await none(
    'a proof has no end',
    "SELECT id, state FROM proofs WHERE state NOT IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'CANCELLED', 'REJECTED')",
  );
  await none(
    'applied command and state disagree',
    `SELECT c.proof_id, c.verb, p.state FROM proof_commands c JOIN proofs p ON p.id = c.proof_id
     WHERE c.state = 'APPLIED' AND p.state::text <> CASE c.verb WHEN 'cancel' THEN 'CANCELLED' WHEN 'reject' THEN 'REJECTED' ELSE p.state::text END`,
  );
  await none(
    'an ended proof without an applied command',
    `SELECT id FROM proofs p WHERE state IN ('CANCELLED', 'REJECTED') AND NOT EXISTS (SELECT FROM proof_commands c WHERE c.proof_id = p.id AND c.state = 'APPLIED')`,
  );
  await none(
    'a certificate or a licence unit without a certified proof, or the reverse',
    `SELECT p.id, p.state FROM proofs p LEFT JOIN certificates c ON c.proof_id = p.id LEFT JOIN licence_consumptions u ON u.proof_id = p.id
     WHERE (p.state IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR')) IS DISTINCT FROM (c.proof_id IS NOT NULL) OR (c.proof_id IS NULL) <> (u.proof_id IS NULL)`,
  );
  await none(
    'a certificate that names another end',
    'SELECT p.id FROM proofs p JOIN certificates c ON c.proof_id = p.id WHERE c.final_state <> p.state',
  );
  await none(
    'a seal without its one leaf',
    'SELECT s.proof_id FROM seals s LEFT JOIN leaves l ON l.proof_id = s.proof_id WHERE (s.signature IS NULL) <> (l.proof_id IS NULL)',
  );
  await none('a batch stays open', "SELECT id, state FROM batches WHERE state <> 'CLOSED' OR leaves_pending <> 0");
  await none(
    'something is left in a queue',
    'SELECT proof_id FROM licence_queue UNION ALL SELECT proof_id FROM retry_queue UNION ALL SELECT proof_id FROM leaf_queue',
  );
  await none(
    'units counted and consumed differ',
    'SELECT p.used FROM licence_periods p WHERE p.used <> (SELECT count(*) FROM licence_consumptions c WHERE c.grant_id = p.grant_id AND c.n = p.n)',
  );
  for (const { id, state } of (await owner.query('SELECT id, state FROM proofs')).rows) {
    const steps = (await life.timelineOf(tenant, id)).filter((step) => !step.startsWith('('));
    expect({ id, last: steps.at(-1), twice: !retried && steps.length !== new Set(steps).size }).toEqual({
      id,
      last: state,
      twice: false,
    });
  }
  const { rows } = await owner.query('SELECT state, count(*)::int AS n FROM proofs GROUP BY state');
  return Object.fromEntries(rows.map((row) => [row.state, row.n]));
}
