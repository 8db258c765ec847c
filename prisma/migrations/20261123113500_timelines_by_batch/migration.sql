-- The lives of many proofs, mostly of the same few batches: each row of a batch is read once, and whom it names is unnested and hashed, where each proof
-- read all rows of its batch and looked for itself in the members of each. Rows are found as before, so the answer is the same.
-- Estimates of arrays and of what is materialised are guesses, and at a wrong one nested loops are quadratic in the batch: without them the only ones left are
-- the probes that cannot be joined otherwise (OFFSET 0). A few proofs look for themselves before a row is unnested: a large batch names thousands.
CREATE OR REPLACE FUNCTION proof_timelines(p_proofs uuid[])
RETURNS TABLE (proof_id uuid, id bigint, state proof_state, changes_state boolean, at timestamptz, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public SET enable_nestloop = off AS $$
  WITH p AS MATERIALIZED (
    SELECT q.id, q.tenant_id, q.submission_id, s.batch_id, l.index, l.batch_id AS leaf_batch_id FROM proofs q
    LEFT JOIN LATERAL (SELECT z.batch_id FROM seals z WHERE z.proof_id = q.id OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT v.index, v.batch_id FROM leaves v WHERE v.proof_id = q.id OFFSET 0) l ON true
    WHERE q.id = ANY (p_proofs) AND q.tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid
  ), b AS MATERIALIZED (
    -- The batches of each proof: rows with a leaf range count where its leaf is, the others in the batch of its seal and, up to last_id, in those it left.
    SELECT p.id AS proof, p.tenant_id, p.batch_id, NULL::bigint AS index, NULL::bigint AS last_id FROM p WHERE p.batch_id IS NOT NULL
    UNION ALL
    SELECT p.id, p.tenant_id, p.leaf_batch_id, p.index, NULL FROM p WHERE p.leaf_batch_id IS NOT NULL
    UNION ALL
    SELECT p.id, p.tenant_id, f.batch_id, NULL, f.last_timeline_id FROM p CROSS JOIN LATERAL (
      SELECT g.batch_id, g.last_timeline_id FROM former_batches g WHERE g.proof_id = p.id OFFSET 0) f WHERE f.batch_id IS DISTINCT FROM p.batch_id
  ), r AS MATERIALIZED (
    SELECT t.* FROM (SELECT DISTINCT b.batch_id, b.tenant_id FROM b) d CROSS JOIN LATERAL (
      SELECT y.id, y.batch_id, y.state, y.changes_state, y.at, y.leaf_from, y.leaf_to, y.members, y.exceptions, y.detail FROM timeline y
      WHERE y.batch_id = d.batch_id AND y.tenant_id = d.tenant_id OFFSET 0) t
  ), told AS (
    SELECT b.proof, r.id FROM b JOIN r ON r.batch_id = b.batch_id
    WHERE r.members IS NULL AND (b.last_id IS NULL OR r.id <= b.last_id)
      AND CASE WHEN b.index IS NULL THEN r.leaf_from IS NULL ELSE b.index >= r.leaf_from AND b.index < r.leaf_to END
    UNION
    SELECT b.proof, m.id FROM b JOIN (
      SELECT r.id, r.batch_id, r.leaf_from, r.leaf_to, unnest(r.members) AS member FROM r
      WHERE r.members IS NOT NULL AND (cardinality(p_proofs) > 8 OR r.members && p_proofs)) m ON m.member = b.proof AND m.batch_id = b.batch_id
    WHERE (b.last_id IS NULL OR m.id <= b.last_id)
      AND CASE WHEN b.index IS NULL THEN m.leaf_from IS NULL ELSE b.index >= m.leaf_from AND b.index < m.leaf_to END
  )
  SELECT p.id, t.id, t.state, t.changes_state, t.at, t.detail FROM p CROSS JOIN LATERAL (
    SELECT y.* FROM timeline y WHERE y.submission_id = p.submission_id OFFSET 0) t
  WHERE t.tenant_id = p.tenant_id AND (t.members IS NULL OR p.id = ANY (t.members)) AND (t.exceptions IS NULL OR p.id <> ALL (t.exceptions))
  UNION ALL
  SELECT told.proof, r.id, r.state, r.changes_state, r.at, r.detail FROM told JOIN r ON r.id = told.id
  WHERE NOT EXISTS (
    SELECT FROM (SELECT y.id, unnest(y.exceptions) AS proof FROM r y WHERE y.exceptions IS NOT NULL) x WHERE x.id = told.id AND x.proof = told.proof)
$$;
