-- The audit trail as operators and tenant administrators read it, and which imports are over.

-- One page of the trail, newest first. A tenant sees what concerns it; a null tenant (an operator, whose role the API checks) every entry.
CREATE FUNCTION list_audit(p_tenant uuid, p_actor text, p_action text, p_subject text, p_from timestamptz, p_to timestamptz, p_before bigint, p_limit integer)
RETURNS TABLE (id bigint, at timestamptz, actor text, tenant_id uuid, action text, subject text, detail jsonb, prev_hash bytea, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT a.id, a.at, a.actor, a.tenant_id, a.action, a.subject, a.detail, a.prev_hash, a.hash FROM audit a
  WHERE (p_tenant IS NULL OR a.tenant_id = p_tenant) AND (p_actor IS NULL OR a.actor = p_actor) AND (p_action IS NULL OR a.action = p_action)
    AND (p_subject IS NULL OR a.subject = p_subject) AND (p_from IS NULL OR a.at >= p_from) AND (p_to IS NULL OR a.at < p_to)
    AND (p_before IS NULL OR a.id < p_before)
  ORDER BY a.id DESC LIMIT least(p_limit, 501)
$$;
-- Whoever looks for one actor, action, subject or tenant reads past no other's entries.
CREATE INDEX audit_tenant ON audit (tenant_id, id);
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_at ON audit (at);

-- Of these requests to import those that are over. For those who wait for them, and who know their ids.
CREATE FUNCTION finished_licence_imports(p_ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT i.id FROM licence_imports i WHERE i.id = ANY (p_ids) AND i.state <> 'PENDING'
$$;

REVOKE ALL ON FUNCTION list_audit(uuid, text, text, text, timestamptz, timestamptz, bigint, integer), finished_licence_imports(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION list_audit(uuid, text, text, text, timestamptz, timestamptz, bigint, integer), finished_licence_imports(uuid[]) TO proofline_api;
