-- What the API reads across tenants, each by one narrow door, and the generation that names a batch's workflow.

-- Whose proof or submission this is. For operators only: the API checks their role before it asks.
CREATE FUNCTION owner_of(p_id uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT coalesce((SELECT p.tenant_id FROM proofs p WHERE p.id = p_id), (SELECT s.tenant_id FROM submissions s WHERE s.id = p_id))
$$;

-- The newest ten proofs of a digest among the tenants that opted in to being found by digest.
CREATE FUNCTION public_proofs_of_digest(p_digest bytea) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT p.id FROM tenants t CROSS JOIN LATERAL (
    SELECT q.id, q.received_at FROM proofs q WHERE q.tenant_id = t.id AND q.digest = p_digest ORDER BY q.received_at DESC LIMIT 10) p
  WHERE t.public_by_digest ORDER BY p.received_at DESC, p.id DESC LIMIT 10
$$;

REVOKE ALL ON FUNCTION owner_of(uuid), public_proofs_of_digest(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION owner_of(uuid), public_proofs_of_digest(bytea) TO proofline_api;
GRANT SELECT (id, generation) ON batches TO proofline_api;
