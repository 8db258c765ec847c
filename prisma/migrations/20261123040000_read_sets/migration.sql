-- The lives of many proofs in one call. Each branch is a probe of one index of `timeline` for one proof: with the scopes
-- joined by OR, every read walked all steps of the tenant. OFFSET 0 keeps the probes apart.
CREATE FUNCTION proof_timelines(p_proofs uuid[])
RETURNS TABLE (proof_id uuid, id bigint, state proof_state, changes_state boolean, at timestamptz, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  WITH p AS MATERIALIZED (
    SELECT p.id, p.tenant_id, p.submission_id, s.batch_id, l.index, l.batch_id AS leaf_batch_id
    FROM unnest(p_proofs) AS wanted (id)
    CROSS JOIN LATERAL (SELECT q.id, q.tenant_id, q.submission_id FROM proofs q WHERE q.id = wanted.id OFFSET 0) p
    LEFT JOIN LATERAL (SELECT z.batch_id FROM seals z WHERE z.proof_id = p.id OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT v.index, v.batch_id FROM leaves v WHERE v.proof_id = p.id OFFSET 0) l ON true
    WHERE p.tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid
  ), scoped AS (
    SELECT p.id AS proof, p.index, t.* FROM p CROSS JOIN LATERAL (
      SELECT r.* FROM timeline r WHERE r.submission_id = p.submission_id OFFSET 0) t WHERE t.tenant_id = p.tenant_id
    UNION ALL
    SELECT p.id, p.index, t.* FROM p CROSS JOIN LATERAL (
      SELECT r.* FROM timeline r WHERE r.batch_id = p.batch_id AND r.tenant_id = p.tenant_id OFFSET 0) t WHERE t.leaf_from IS NULL
    UNION ALL
    SELECT p.id, p.index, t.* FROM p CROSS JOIN LATERAL (
      SELECT r.* FROM timeline r WHERE r.batch_id = p.leaf_batch_id AND r.tenant_id = p.tenant_id OFFSET 0) t
      WHERE p.index >= t.leaf_from AND p.index < t.leaf_to
    UNION ALL
    SELECT p.id, p.index, t.* FROM p CROSS JOIN LATERAL (SELECT g.batch_id, g.last_timeline_id FROM former_batches g WHERE g.proof_id = p.id OFFSET 0) f
      CROSS JOIN LATERAL (SELECT r.* FROM timeline r WHERE r.batch_id = f.batch_id AND r.tenant_id = p.tenant_id OFFSET 0) t
      WHERE t.leaf_from IS NULL AND t.id <= f.last_timeline_id AND f.batch_id IS DISTINCT FROM p.batch_id
  )
  SELECT t.proof, t.id, t.state, t.changes_state, t.at, t.detail FROM scoped t
  WHERE (t.members IS NULL OR t.proof = ANY (t.members)) AND (t.exceptions IS NULL OR t.proof <> ALL (t.exceptions))
$$;

CREATE OR REPLACE FUNCTION proof_timeline(p_proof uuid)
RETURNS TABLE (id bigint, state proof_state, changes_state boolean, at timestamptz, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT t.id, t.state, t.changes_state, t.at, t.detail FROM proof_timelines(ARRAY[p_proof]) t ORDER BY t.id
$$;

REVOKE ALL ON FUNCTION proof_timelines(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION proof_timelines(uuid[]) TO proofline_api, proofline_worker;
