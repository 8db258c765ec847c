-- Licences in depth: amendments of grants, standing shares, use by unit, revocation lists, notices, trusted time, and
-- requests to change the org tree and its shares.

-- BASE: `units` is what its next periods begin with, addenda included; `ends_at` its end, null if it has none.
-- Others: they change `target_id` at `effective_at`, and have done so at `applied_at`.
ALTER TABLE licence_grants
  ADD COLUMN units bigint CHECK (units >= 0),
  ADD COLUMN ends_at timestamptz(6),
  ADD COLUMN expired_at timestamptz(6),
  ADD COLUMN target_id text REFERENCES licence_grants,
  ADD COLUMN effective_at timestamptz(6),
  ADD COLUMN applied_at timestamptz(6),
  -- Named by the newest revocation list, from this instant.
  ADD COLUMN listed_at timestamptz(6),
  ADD CONSTRAINT licence_grants_target CHECK ((kind = 'BASE') = (target_id IS NULL) AND (kind = 'BASE') = (effective_at IS NULL));
UPDATE licence_grants SET units = (payload ->> 'quota')::bigint, ends_at = least(not_after, CASE payload #>> '{term,type}'
    WHEN 'PERPETUAL' THEN NULL
    ELSE ((payload #>> '{term,anchorDate}')::date + (payload #>> '{term,count}')::int * CASE payload #>> '{term,type}' WHEN 'MONTHLY' THEN interval '1 month' ELSE interval '1 year' END)
      AT TIME ZONE (payload #>> '{term,timeZone}') END)
  WHERE kind = 'BASE';
CREATE INDEX licence_grants_target ON licence_grants (target_id) WHERE target_id IS NOT NULL;
CREATE INDEX licence_grants_live ON licence_grants (tenant_id) WHERE kind = 'BASE' AND expired_at IS NULL;

-- The shares with which a grant opens its next periods; those of its running period follow them.
CREATE TABLE licence_shares (
  grant_id text NOT NULL REFERENCES licence_grants,
  org_unit_id uuid NOT NULL REFERENCES org_units,
  tenant_id uuid NOT NULL,
  quota bigint NOT NULL CHECK (quota >= 0),
  PRIMARY KEY (grant_id, org_unit_id)
);
INSERT INTO licence_shares (grant_id, org_unit_id, tenant_id, quota)
  SELECT g.id, (a ->> 'orgUnit')::uuid, g.tenant_id, (a ->> 'limit')::bigint FROM licence_grants g, jsonb_array_elements(g.payload -> 'allocations') a WHERE g.kind = 'BASE';

-- What each unit itself used of a period, those below it not counted.
CREATE TABLE licence_unit_usage (
  grant_id text NOT NULL,
  n integer NOT NULL,
  org_unit_id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  used bigint NOT NULL CHECK (used > 0),
  PRIMARY KEY (grant_id, n, org_unit_id)
) WITH (fillfactor = 50);
INSERT INTO licence_unit_usage (grant_id, n, org_unit_id, tenant_id, used)
  SELECT grant_id, n, org_unit_id, tenant_id, count(*) FROM licence_consumptions GROUP BY grant_id, n, org_unit_id, tenant_id;

-- What was said once: that a period is used up (n is the period), that a grant ends soon (n is the days).
CREATE TABLE licence_notices (
  grant_id text NOT NULL REFERENCES licence_grants,
  kind text NOT NULL CHECK (kind IN ('exhausted', 'expiring')),
  n integer NOT NULL,
  tenant_id uuid NOT NULL,
  at timestamptz(6) NOT NULL,
  PRIMARY KEY (grant_id, kind, n)
);

-- Lists of revoked grants, of the whole instance; the largest number holds.
CREATE TABLE licence_revocation_lists (
  number integer PRIMARY KEY CHECK (number > 0),
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
  jws text NOT NULL,
  payload jsonb NOT NULL,
  issued_at timestamptz(6) NOT NULL,
  next_update timestamptz(6) NOT NULL,
  imported_by text NOT NULL,
  imported_at timestamptz(6) NOT NULL
);

-- One row: the newest time that an authority or a ledger stated, and how the last renewal went.
CREATE TABLE licence_clock (
  id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  trusted_at timestamptz(6),
  source text,
  renewed_at timestamptz(6),
  -- Why the last renewal was refused; null if it was not.
  refusal text
);
INSERT INTO licence_clock (id) VALUES (1);

-- Requests to change the org tree or shares. The API writes them by the function below; a workflow applies them.
CREATE TABLE org_changes (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  kind text NOT NULL CHECK (kind IN ('CREATE_UNIT', 'MOVE_UNIT', 'SET_SHARES')),
  body jsonb NOT NULL,
  requested_by text NOT NULL CHECK (length(requested_by) <= 256),
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'APPLIED', 'REFUSED')),
  code text,
  detail text,
  created_at timestamptz(6) NOT NULL,
  finished_at timestamptz(6),
  CHECK ((state = 'PENDING') = (finished_at IS NULL)),
  CHECK ((state = 'REFUSED') = (code IS NOT NULL))
);
CREATE INDEX org_changes_open ON org_changes (created_at) WHERE state = 'PENDING';

CREATE FUNCTION request_org_change(p_id uuid, p_tenant uuid, p_kind text, p_body jsonb, p_requested_by text, p_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
  INSERT INTO org_changes (id, tenant_id, kind, body, requested_by, created_at) VALUES (p_id, p_tenant, p_kind, p_body, p_requested_by, p_at);
  INSERT INTO outbox (kind, workflow_id, name, payload, next_attempt_at, created_at)
  VALUES ('start', 'org-change:' || p_id, 'changeOrganisation', jsonb_build_object('changeId', p_id), p_at, p_at);
  PERFORM pg_notify('proofline_outbox', '');
END $$;

DO $$
DECLARE secured text;
BEGIN
  FOREACH secured IN ARRAY ARRAY['licence_shares', 'licence_unit_usage', 'licence_notices', 'org_changes'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', secured);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', secured);
    EXECUTE format('CREATE POLICY tenant ON %I TO proofline_api USING (tenant_id = nullif(current_setting(''proofline.tenant'', true), '''')::uuid)', secured);
    EXECUTE format('CREATE POLICY worker ON %I TO proofline_worker USING (true) WITH CHECK (true)', secured);
    EXECUTE format('CREATE POLICY definer ON %I TO proofline_owner USING (true) WITH CHECK (true)', secured);
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION request_org_change(uuid, uuid, text, jsonb, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_org_change(uuid, uuid, text, jsonb, text, timestamptz) TO proofline_api;
GRANT SELECT ON licence_shares, licence_unit_usage, licence_notices, org_changes, licence_clock TO proofline_api;
GRANT SELECT (number, hash, issued_at, next_update, imported_at) ON licence_revocation_lists TO proofline_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON licence_shares, licence_unit_usage TO proofline_worker;
GRANT SELECT, INSERT ON licence_notices, licence_revocation_lists TO proofline_worker;
GRANT SELECT, UPDATE ON licence_clock, org_changes TO proofline_worker;
