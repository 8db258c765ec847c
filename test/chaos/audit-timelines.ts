/** The life of each proof as its timeline tells it: every step once, in order, the last one its state. */
import type { Db } from '../../store/pool.ts';
import type { Audit } from './finding.ts';

const LIVES = new Set(
  ['CERTIFIED', 'CERTIFIED_NO_ANCHOR'].flatMap((end) =>
    [[], ['ANCHORED']].flatMap((anchored) =>
      [[], ['AWAITING_LICENSE']].map((waited) =>
        ['RECEIVED', 'SEALED', 'TIMESTAMPED', ...anchored, ...waited, end].join(' '),
      ),
    ),
  ),
);

// Expanded for all at once: row by row, each proof would read the lists of its whole batch.
const LIVES_OF_TENANT = `
  WITH rows AS MATERIALIZED (SELECT * FROM timeline WHERE tenant_id = $1),
  named AS (SELECT r.id, m AS proof FROM rows r, unnest(r.members) m),
  excepted AS (SELECT r.id, x AS proof FROM rows r, unnest(r.exceptions) x),
  scoped AS (
    SELECT r.*, p.id AS proof FROM rows r JOIN proofs p ON p.submission_id = r.submission_id
    UNION ALL
    SELECT r.*, s.proof_id FROM rows r JOIN seals s ON s.batch_id = r.batch_id AND s.tenant_id = r.tenant_id WHERE r.leaf_from IS NULL
    UNION ALL
    SELECT r.*, l.proof_id FROM rows r JOIN leaves l ON l.batch_id = r.batch_id AND l.tenant_id = r.tenant_id AND l.index >= r.leaf_from AND l.index < r.leaf_to),
  told AS (
    SELECT t.id, t.state, t.changes_state, t.proof FROM scoped t LEFT JOIN named n ON n.id = t.id AND n.proof = t.proof LEFT JOIN excepted e ON e.id = t.id AND e.proof = t.proof
    WHERE (t.members IS NULL OR n.proof IS NOT NULL) AND e.proof IS NULL),
  lives AS (
    SELECT p.id, p.state, string_agg(t.state::text, ' ' ORDER BY t.id) FILTER (WHERE t.changes_state) AS life, count(*) FILTER (WHERE t.state = 'ANCHORED')::int AS anchors
    FROM told t JOIN proofs p ON p.id = t.proof GROUP BY p.id)
  SELECT life, state, anchors, count(*)::int AS proofs, min(id::text) AS example FROM lives GROUP BY life, state, anchors`;

export async function auditTimelines(owner: Db): Promise<Audit> {
  const faults: string[] = [];
  let steps = 0;
  const { rows: tenants } = await owner.query<{ id: string }>('SELECT id FROM tenants');
  for (const { id } of tenants) {
    const { rows } = await owner.query<{
      life: string;
      state: string;
      anchors: number;
      proofs: number;
      example: string;
    }>(LIVES_OF_TENANT, [id]);
    for (const { life, state, anchors, proofs, example } of rows) {
      steps += proofs * life.split(' ').length;
      if (!LIVES.has(life) || !life.endsWith(` ${state}`) || anchors > 1)
        faults.push(`${proofs} proofs, such as ${example}, are ${state}, ${anchors} times anchored, after ${life}`);
    }
    const told = rows.reduce((sum, row) => sum + row.proofs, 0);
    const { rows: all } = await owner.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM proofs WHERE tenant_id = $1',
      [id],
    );
    if (told !== all[0]?.n) faults.push(`${all[0]?.n} proofs of ${id}, ${told} with a timeline`);
  }
  const { rows } = await owner.query<{ n: number }>(
    `SELECT abs((SELECT count(*) FROM timeline) - (SELECT count(*) FROM events WHERE type LIKE 'proof.%'))::int AS n`,
  );
  if (rows[0]?.n !== 0)
    faults.push(`${rows[0]?.n} rows of the timeline are without their event, or the other way round`);
  return { faults, figures: { 'timeline steps': steps } };
}
