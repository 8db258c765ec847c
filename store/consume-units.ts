import type { BatchId, TenantId } from '../domain/ids.ts';
import type { PeriodRoom } from '../domain/licence/rooms.ts';
import { arrayLiteral } from './array-literal.ts';
import { draftTemplate } from './draft-template.ts';
import { noteExhausted } from './licence-notices.ts';
import type { Ready } from './lock-queued.ts';
import type { Tx } from './pool.ts';

/** A proof that gets its unit, of this period. */
export interface Served {
  readonly proof: Ready;
  readonly period: PeriodRoom;
}

/** What the units of a chunk are written with. */
export interface Consumption {
  readonly tenantId: TenantId;
  readonly origin: string;
  readonly publicUrl: string;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
  /** All running periods, their counters raised by what is served. */
  readonly periods: readonly PeriodRoom[];
  readonly served: readonly Served[];
  /** Batches that are owed a wake, if they are open. */
  readonly wake: readonly BatchId[];
}

// One statement, so that a proof alone costs few round trips. The CHECK constraints of the counters refuse what would
// exceed a quota at any node. A number is `PL-<year>-<10 digits>`; a transaction that rolls back leaves a gap.
const CONSUME = `
  WITH groups AS MATERIALIZED (
    SELECT nextval('certificate_template_ids') AS template_id, r.* FROM jsonb_to_recordset($3) AS r (g int, grant_id text, n int, batch uuid, state proof_state, timestamp_size bigint, anchor_size bigint, template text)
  ), taken AS MATERIALIZED (
    DELETE FROM licence_queue WHERE ctid = ANY ($15::tid[]) RETURNING proof_id, org_unit_id
  ), served AS MATERIALIZED (
    SELECT u.proof, t.org_unit_id AS unit, u.g, nextval('certificate_numbers')::text AS number
    FROM unnest($1::uuid[], $2::int[]) AS u (proof, g) JOIN taken t ON t.proof_id = u.proof
  ), totals AS (
    UPDATE licence_periods p SET used = u.used FROM unnest($6::text[], $7::int[], $8::bigint[]) AS u (grant_id, n, used)
    WHERE p.grant_id = u.grant_id AND p.n = u.n AND p.used <> u.used
  ), shares AS (
    UPDATE licence_allocations a SET used = u.used FROM unnest($9::text[], $10::int[], $11::uuid[], $12::bigint[]) AS u (grant_id, n, unit, used)
    WHERE a.grant_id = u.grant_id AND a.n = u.n AND a.org_unit_id = u.unit AND a.used <> u.used
  ), counted AS (
    INSERT INTO licence_unit_usage (grant_id, n, org_unit_id, tenant_id, used)
    SELECT r.grant_id, r.n, s.unit, $4::uuid, sum(s.used) FROM (SELECT g, unit, count(*) AS used FROM served GROUP BY g, unit) s JOIN groups r USING (g)
    GROUP BY r.grant_id, r.n, s.unit
    ON CONFLICT (grant_id, n, org_unit_id) DO UPDATE SET used = licence_unit_usage.used + EXCLUDED.used
  ), consumed AS (
    INSERT INTO licence_consumptions (proof_id, tenant_id, org_unit_id, grant_id, n, at)
    SELECT s.proof, $4, s.unit, r.grant_id, r.n, $5 FROM served s JOIN groups r USING (g)
  ), numbered AS (
    SELECT s.proof, s.g, 'PL-' || left($13::text, 4) || '-' || lpad(s.number, greatest(10, length(s.number)), '0') AS number FROM served s
  ), templates AS (
    INSERT INTO certificate_templates (id, tenant_id, template) SELECT template_id, $4, template FROM groups
  ), owed AS (
    INSERT INTO batch_wakes (batch_id, lane, name, created_at) SELECT b.id, b.lane, 'licencesGranted', $5 FROM batches b WHERE b.id = ANY ($14::uuid[]) AND b.state <> 'CLOSED'
    RETURNING pg_notify('proofline_wakes', '')
  )
  INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, template_id, timestamp_size, anchor_size, drafted_at)
  SELECT s.proof, $4, r.batch, s.number, r.state, r.template_id, r.timestamp_size, r.anchor_size, $5 FROM numbered s JOIN groups r USING (g)`;

/**
 * Consumes the units of the proofs served: counters, use by unit, consumption rows, drafts (the point of no return of each
 * proof), and the wakes of their batches. Key (proof): a second consumption or draft of a proof fails. Locks: those of
 * `lockRooms` and `lockQueued` are held.
 */
export async function consumeUnits(tx: Tx, input: Consumption): Promise<void> {
  const { periods, served, at } = input;
  const groups = groupDrafts(input);
  const shares = periods.flatMap((p) =>
    [...p.byUnit].map(([unit, counter]) => ({ grantId: p.grantId, n: p.n, unit, used: counter.used })),
  );
  const { rowCount } = await tx.query(CONSUME, [
    arrayLiteral(served.map((s) => s.proof.id)),
    arrayLiteral(groups.of),
    JSON.stringify(groups.rows),
    input.tenantId,
    at,
    periods.map((p) => p.grantId),
    arrayLiteral(periods.map((p) => p.n)),
    arrayLiteral(periods.map((p) => p.total.used)),
    shares.map((s) => s.grantId),
    arrayLiteral(shares.map((s) => s.n)),
    arrayLiteral(shares.map((s) => s.unit)),
    arrayLiteral(shares.map((s) => s.used)),
    at,
    arrayLiteral(input.wake),
    served.map((s) => s.proof.row),
  ]);
  // Their rows are locked: anything else is a fault of ours, and nothing of it may stay.
  if (rowCount !== served.length) throw new Error(`${rowCount} certificates drafted of ${served.length} proofs served`);
  await noteExhausted(tx, input.tenantId, [...new Set(served.map((s) => s.period))], at);
}

interface GroupRow {
  readonly g: number;
  readonly grant_id: string;
  readonly n: number;
  readonly batch: BatchId;
  readonly state: 'CERTIFIED' | 'CERTIFIED_NO_ANCHOR';
  readonly timestamp_size: string;
  readonly anchor_size: string | null;
  readonly template: string;
}

/** The groups of proofs whose drafts differ by number, proof, digest and leaf alone, and the group of each proof. */
function groupDrafts(input: Consumption): { readonly rows: readonly GroupRow[]; readonly of: readonly number[] } {
  const groups = new Map<string, GroupRow>();
  const of = input.served.map(({ proof, period }) => {
    const { coverage, anchorPolicy, batchId } = proof;
    const key = `${batchId} ${anchorPolicy} ${coverage.timestamp.size} ${coverage.anchor?.size} ${period.n} ${period.grantId}`;
    const known = groups.get(key);
    if (known !== undefined) return known.g;
    const { tenantId, origin, publicUrl, at } = input;
    const shared = {
      tenantId,
      origin,
      publicUrl,
      at,
      anchorPolicy,
      coverage,
      grantId: period.grantId,
      period: period.n,
    };
    groups.set(key, {
      g: groups.size,
      grant_id: period.grantId,
      n: period.n,
      batch: batchId,
      state: coverage.anchor === undefined ? 'CERTIFIED_NO_ANCHOR' : 'CERTIFIED',
      timestamp_size: coverage.timestamp.size,
      anchor_size: coverage.anchor?.size ?? null,
      template: draftTemplate(shared),
    });
    return groups.size - 1;
  });
  return { rows: [...groups.values()], of };
}
