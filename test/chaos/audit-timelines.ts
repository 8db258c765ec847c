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

export async function auditTimelines(owner: Db): Promise<Audit> {
  const faults: string[] = [];
  let steps = 0;
  const { rows: tenants } = await owner.query<{ id: string }>('SELECT id FROM tenants');
  for (const { id } of tenants) {
    // The rows are expanded by the very function that answers the API, which asks for its tenant.
    const { rows } = await owner.query<{
      life: string;
      state: string;
      anchors: number;
      proofs: number;
      example: string;
    }>(
      `WITH scope AS MATERIALIZED (SELECT set_config('proofline.tenant', $1, false)),
       lives AS (
         SELECT p.id, p.state, string_agg(t.state::text, ' ' ORDER BY t.id) FILTER (WHERE t.changes_state) AS life, count(*) FILTER (WHERE t.state = 'ANCHORED')::int AS anchors
         FROM scope, proofs p CROSS JOIN LATERAL proof_timeline(p.id) t WHERE p.tenant_id = $1::uuid GROUP BY p.id)
       SELECT life, state, anchors, count(*)::int AS proofs, min(id::text) AS example FROM lives GROUP BY life, state, anchors`,
      [id],
    );
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
