-- Licences: requests to import a grant, the waiting mark of the licence queue, and when a grant opens its next period.

-- Requests to import a grant file. The API writes them by the function below and reads their outcome by another.
CREATE TABLE licence_imports (
  id uuid PRIMARY KEY,
  -- SHA-256 of the file's text.
  hash bytea NOT NULL CHECK (length(hash) = 32),
  jws text NOT NULL CHECK (octet_length(jws) <= 65536),
  dry_run boolean NOT NULL,
  -- Which workflow of this file it started, from 1; null if none had to start.
  generation integer,
  requested_by text NOT NULL CHECK (length(requested_by) <= 256),
  -- The tenant whose administrator asks; null for a platform administrator, who may import for any tenant.
  tenant_id uuid REFERENCES tenants,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'APPLIED', 'UNCHANGED', 'REFUSED')),
  -- The error code of a refusal and what was expected.
  code text,
  detail text,
  -- What the import changes, or would change if this is a dry run.
  diff jsonb,
  created_at timestamptz(6) NOT NULL,
  finished_at timestamptz(6),
  UNIQUE (hash, generation),
  CHECK ((state = 'PENDING') = (finished_at IS NULL)),
  CHECK ((state = 'REFUSED') = (code IS NOT NULL))
);

-- True once the proof was found without room and told so: AWAITING_LICENSE.
ALTER TABLE licence_queue ADD COLUMN awaiting boolean NOT NULL DEFAULT false;
-- Serves units that have room without reading through the rows of those that have none.
CREATE INDEX licence_queue_unit ON licence_queue (tenant_id, org_unit_id, received_at, proof_id);
CREATE INDEX licence_queue_unmarked ON licence_queue (tenant_id, org_unit_id, received_at, proof_id) WHERE NOT awaiting;

-- When the next period begins; null when the grant has opened its last one.
ALTER TABLE licence_grants ADD COLUMN next_period_at timestamptz(6);
CREATE INDEX licence_grants_next_period ON licence_grants (next_period_at) WHERE next_period_at IS NOT NULL;

-- Asks for an import and returns its state: UNCHANGED at once if this very file was imported before, else PENDING with
-- the start of its workflow. Each request has a workflow of its own, `license:{hash}` or `license:{hash}:{n}`, since a
-- file that was refused may be imported again once its cause is gone. `workflowIds.importLicense` builds the same ids.
CREATE FUNCTION request_licence_import(p_id uuid, p_jws text, p_dry_run boolean, p_requested_by text, p_tenant uuid, p_at timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_hash bytea := sha256(convert_to(p_jws, 'UTF8'));
  v_known licence_grants;
  v_generation integer;
BEGIN
  SELECT * INTO v_known FROM licence_grants WHERE hash = v_hash AND (p_tenant IS NULL OR tenant_id = p_tenant);
  IF FOUND THEN
    INSERT INTO licence_imports (id, hash, jws, dry_run, requested_by, tenant_id, state, detail, diff, created_at, finished_at)
    VALUES (p_id, v_hash, p_jws, p_dry_run, p_requested_by, p_tenant, 'UNCHANGED', 'this file was imported before; nothing changed',
      jsonb_build_object('grantId', v_known.id, 'tenant', v_known.tenant_id), p_at, p_at);
    RETURN 'UNCHANGED';
  END IF;
  -- Twins of one file queue here, so that each takes a generation of its own.
  PERFORM pg_advisory_xact_lock(hashtextextended('proofline.licence_import:' || encode(v_hash, 'hex'), 0));
  SELECT coalesce(max(generation), 0) + 1 INTO v_generation FROM licence_imports WHERE hash = v_hash;
  INSERT INTO licence_imports (id, hash, generation, jws, dry_run, requested_by, tenant_id, created_at)
  VALUES (p_id, v_hash, v_generation, p_jws, p_dry_run, p_requested_by, p_tenant, p_at);
  INSERT INTO outbox (kind, workflow_id, name, payload, next_attempt_at, created_at)
  VALUES ('start', 'license:' || encode(v_hash, 'hex') || CASE WHEN v_generation = 1 THEN '' ELSE ':' || v_generation END,
    'importLicense', jsonb_build_object('importId', p_id), p_at, p_at);
  PERFORM pg_notify('proofline_outbox', '');
  RETURN 'PENDING';
END $$;

-- The outcome of one request; a tenant sees its own, a null tenant (a platform administrator) every one.
CREATE FUNCTION read_licence_import(p_id uuid, p_tenant uuid)
RETURNS TABLE (id uuid, hash bytea, dry_run boolean, requested_by text, tenant_id uuid, state text, code text, detail text, diff jsonb, created_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT i.id, i.hash, i.dry_run, i.requested_by, i.tenant_id, i.state, i.code, i.detail, i.diff, i.created_at, i.finished_at
  FROM licence_imports i WHERE i.id = p_id AND (p_tenant IS NULL OR i.tenant_id = p_tenant)
$$;

ALTER TABLE licence_imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE licence_imports FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON licence_imports TO proofline_api USING (tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid);
CREATE POLICY worker ON licence_imports TO proofline_worker USING (true) WITH CHECK (true);
CREATE POLICY definer ON licence_imports TO proofline_owner USING (true) WITH CHECK (true);

REVOKE ALL ON FUNCTION request_licence_import(uuid, text, boolean, text, uuid, timestamptz), read_licence_import(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_licence_import(uuid, text, boolean, text, uuid, timestamptz), read_licence_import(uuid, uuid) TO proofline_api;
GRANT SELECT, UPDATE ON licence_imports TO proofline_worker;
