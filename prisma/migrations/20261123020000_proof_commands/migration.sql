-- Support verbs: cancel, reject, retry, certify-without-anchor. Rows first: the API writes a request and its commands by
-- the function below, with their audit entry, in one transaction; the relay applies them.

-- One request of one actor: for one proof, for a list, or for what a filter matches.
CREATE TABLE command_requests (
  id uuid PRIMARY KEY,
  verb text NOT NULL CHECK (verb IN ('cancel', 'reject', 'retry', 'certify-without-anchor')),
  actor text NOT NULL CHECK (length(actor) <= 256),
  -- The tenant whose key asks; null for an operator.
  tenant_id uuid REFERENCES tenants,
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  idempotency_key text,
  -- SHA-256 of the JCS of verb, reason and proofs or filter.
  body_hash bytea NOT NULL CHECK (length(body_hash) = 32),
  -- {tenant, states, submission?, receivedFrom?, receivedTo?}; null for a list.
  filter jsonb,
  -- Proofs named, or matched by the filter when it was asked.
  matched integer NOT NULL CHECK (matched >= 0),
  -- How far the filter has been turned into commands: below (received_at, id), newest first.
  cursor_at timestamptz(6),
  cursor_id uuid,
  is_expanded boolean NOT NULL,
  created_at timestamptz(6) NOT NULL,
  CHECK (is_expanded OR filter IS NOT NULL)
);
CREATE UNIQUE INDEX command_requests_idempotency ON command_requests (actor, idempotency_key);
CREATE INDEX command_requests_open ON command_requests (created_at, id) WHERE NOT is_expanded;

CREATE TABLE proof_commands (
  id uuid PRIMARY KEY,
  request_id uuid NOT NULL REFERENCES command_requests,
  n integer NOT NULL CHECK (n >= 0),
  proof_id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  verb text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'APPLIED', 'REFUSED')),
  -- Why it was refused.
  code text,
  detail text,
  -- The batch of the proof when the command was decided.
  batch_id uuid,
  created_at timestamptz(6) NOT NULL,
  finished_at timestamptz(6),
  CHECK ((state = 'PENDING') = (finished_at IS NULL)),
  CHECK ((state = 'REFUSED') = (code IS NOT NULL))
);
CREATE UNIQUE INDEX proof_commands_request ON proof_commands (request_id, n);
CREATE INDEX proof_commands_states ON proof_commands (request_id, state);
CREATE INDEX proof_commands_proof ON proof_commands (proof_id);
CREATE INDEX proof_commands_pending ON proof_commands (created_at, request_id, n) WHERE state = 'PENDING';

-- An operator released the proof: it goes on to its licence as soon as it is timestamped, whatever its policy.
ALTER TABLE proofs ADD COLUMN released_at timestamptz(6);
-- The batch that a retried proof joined by itself; null while it belongs to its submission's.
ALTER TABLE proofs ADD COLUMN batch_id uuid;
CREATE INDEX proofs_batch ON proofs (batch_id) WHERE batch_id IS NOT NULL;
-- Retried proofs travel in batches of their own, of which at most one is before its seal.
ALTER TABLE batches ADD COLUMN of_retries boolean NOT NULL DEFAULT false;

-- Retried proofs that wait for a batch. Their state names the stage at which they enter it.
CREATE TABLE retry_queue (
  proof_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  anchor_policy anchor_policy NOT NULL,
  anchor_window anchor_window NOT NULL,
  queued_at timestamptz(6) NOT NULL
);
CREATE INDEX retry_queue_order ON retry_queue (queued_at, proof_id);

-- Batches that a proof left for another. Of their timeline only rows up to `last_timeline_id` speak of it.
CREATE TABLE former_batches (
  proof_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  last_timeline_id bigint NOT NULL,
  PRIMARY KEY (proof_id, batch_id)
);

-- Functions --------------------------------------------------------------------------------------------------------

-- Appends to the audit trail as store/audit.ts does: hash = SHA-256(hash before ‖ JCS(entry)). The detail is flat, its
-- values text, whole numbers or booleans: what PostgreSQL writes of these is what RFC 8785 writes. Call it last.
CREATE FUNCTION append_audit(p_at timestamptz, p_actor text, p_tenant uuid, p_action text, p_subject text, p_detail jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_before bytea;
  v_detail text;
  v_entry text;
BEGIN
  IF EXISTS (SELECT FROM jsonb_each(p_detail) WHERE jsonb_typeof(value) NOT IN ('string', 'number', 'boolean')) THEN
    RAISE EXCEPTION 'the detail of an audit entry is flat';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('proofline.audit', 0));
  SELECT hash INTO v_before FROM audit ORDER BY id DESC LIMIT 1;
  v_before := coalesce(v_before, decode(repeat('00', 32), 'hex'));
  SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value::text, ',' ORDER BY key COLLATE "C"), '') || '}' INTO v_detail FROM jsonb_each(p_detail);
  v_entry := format('{"action":%s,"actor":%s,"at":%s,"detail":%s,"subject":%s,"tenant":%s}', to_json(p_action), to_json(p_actor),
    to_json(to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), v_detail, to_json(p_subject), coalesce(to_json(p_tenant)::text, 'null'));
  INSERT INTO audit (at, actor, tenant_id, action, subject, detail, prev_hash, hash)
  VALUES (p_at, p_actor, p_tenant, p_action, p_subject, p_detail, v_before, sha256(v_before || convert_to(v_entry, 'UTF8')));
END $$;

-- Whether a filter matches a proof. Proofs that came after the request never do, so that every filter ends. Without
-- settings of its own, so that it is inlined: 100,000 proofs are counted in one scan.
CREATE FUNCTION matches_filter(p proofs, p_filter jsonb, p_asked_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT p.tenant_id = (p_filter ->> 'tenant')::uuid AND p.received_at <= p_asked_at AND p_filter -> 'states' ? p.state::text
    AND (p_filter ->> 'submission' IS NULL OR p.submission_id = (p_filter ->> 'submission')::uuid)
    AND (p_filter ->> 'receivedFrom' IS NULL OR p.received_at >= (p_filter ->> 'receivedFrom')::timestamptz)
    AND (p_filter ->> 'receivedTo' IS NULL OR p.received_at < (p_filter ->> 'receivedTo')::timestamptz)
$$;

-- Writes a request with its commands and its audit entry. Outcome: `created`; `replayed` or `mismatch` if the actor used
-- the idempotency key before, for the same body or another; `unknown` with the ids that are nobody's or another tenant's,
-- in which case nothing is written. A null p_tenant is an operator: the API checks the role before it asks.
CREATE FUNCTION request_proof_commands(p_id uuid, p_verb text, p_actor text, p_tenant uuid, p_reason text, p_proofs uuid[], p_filter jsonb,
  p_key text, p_hash bytea, p_at timestamptz) RETURNS TABLE (outcome text, request uuid, unknown uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_unknown uuid[];
  v_matched integer;
BEGIN
  IF p_key IS NOT NULL THEN
    RETURN QUERY SELECT CASE WHEN r.body_hash = p_hash THEN 'replayed' ELSE 'mismatch' END, r.id, NULL::uuid[]
      FROM command_requests r WHERE r.actor = p_actor AND r.idempotency_key = p_key;
    IF FOUND THEN RETURN; END IF;
  END IF;
  IF p_filter IS NULL THEN
    SELECT array_agg(u.id ORDER BY u.n) INTO v_unknown FROM unnest(p_proofs) WITH ORDINALITY AS u (id, n)
      LEFT JOIN proofs p ON p.id = u.id AND (p_tenant IS NULL OR p.tenant_id = p_tenant) WHERE p.id IS NULL;
    IF v_unknown IS NOT NULL THEN
      RETURN QUERY SELECT 'unknown', NULL::uuid, v_unknown;
      RETURN;
    END IF;
    v_matched := cardinality(p_proofs);
  ELSE
    SELECT count(*) INTO v_matched FROM proofs p WHERE p.tenant_id = (p_filter ->> 'tenant')::uuid AND matches_filter(p, p_filter, p_at);
  END IF;
  -- A twin under the same key waits here for the first to commit.
  INSERT INTO command_requests (id, verb, actor, tenant_id, reason, idempotency_key, body_hash, filter, matched, is_expanded, created_at)
  VALUES (p_id, p_verb, p_actor, p_tenant, p_reason, p_key, p_hash, p_filter, v_matched, p_filter IS NULL, p_at)
  ON CONFLICT (actor, idempotency_key) DO NOTHING;
  IF NOT FOUND THEN
    RETURN QUERY SELECT CASE WHEN r.body_hash = p_hash THEN 'replayed' ELSE 'mismatch' END, r.id, NULL::uuid[]
      FROM command_requests r WHERE r.actor = p_actor AND r.idempotency_key = p_key;
    RETURN;
  END IF;
  INSERT INTO proof_commands (id, request_id, n, proof_id, tenant_id, verb, actor, reason, created_at)
  SELECT gen_random_uuid(), p_id, u.n - 1, p.id, p.tenant_id, p_verb, p_actor, p_reason, p_at
  FROM unnest(p_proofs) WITH ORDINALITY AS u (id, n) JOIN proofs p ON p.id = u.id;
  PERFORM pg_notify('proofline_commands', '');
  PERFORM append_audit(p_at, p_actor, p_tenant, 'proof.' || p_verb,
    CASE WHEN p_filter IS NULL AND v_matched = 1 THEN 'proof:' || p_proofs[1]::text ELSE 'command:' || p_id::text END,
    jsonb_strip_nulls(jsonb_build_object('command', p_id, 'reason', p_reason, 'proofs', v_matched, 'filter', p_filter::text)));
  RETURN QUERY SELECT 'created', p_id, NULL::uuid[];
END $$;

-- A request with its counts; a tenant sees its own, a null tenant (an operator) every one.
CREATE FUNCTION read_command_request(p_id uuid, p_tenant uuid)
RETURNS TABLE (id uuid, verb text, actor text, reason text, by_filter boolean, matched integer, is_expanded boolean, created_at timestamptz,
  pending integer, applied integer, refused integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT r.id, r.verb, r.actor, r.reason, r.filter IS NOT NULL, r.matched, r.is_expanded, r.created_at, c.pending, c.applied, c.refused
  FROM command_requests r, LATERAL (
    SELECT count(*) FILTER (WHERE state = 'PENDING')::int AS pending, count(*) FILTER (WHERE state = 'APPLIED')::int AS applied,
      count(*) FILTER (WHERE state = 'REFUSED')::int AS refused FROM proof_commands k WHERE k.request_id = r.id) c
  WHERE r.id = p_id AND (p_tenant IS NULL OR r.tenant_id = p_tenant)
$$;

-- The commands of a request: those in the state given, or all; in their order.
CREATE FUNCTION read_proof_commands(p_request uuid, p_tenant uuid, p_state text, p_limit integer)
RETURNS TABLE (proof_id uuid, state text, code text, detail text, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT k.proof_id, k.state, k.code, k.detail, k.finished_at FROM proof_commands k JOIN command_requests r ON r.id = k.request_id
  WHERE r.id = p_request AND (p_tenant IS NULL OR r.tenant_id = p_tenant) AND (p_state IS NULL OR k.state = p_state) ORDER BY k.n LIMIT least(p_limit, 1000)
$$;

-- Of these requests, those of which nothing is left to decide. Tells no more than that: whoever waits was shown the id.
CREATE FUNCTION finished_command_requests(p_ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT r.id FROM command_requests r WHERE r.id = ANY (p_ids) AND r.is_expanded
    AND NOT EXISTS (SELECT FROM proof_commands k WHERE k.request_id = r.id AND k.state = 'PENDING')
$$;

-- The life of one proof, expanded from the set-based rows. A row with a leaf range is scoped by the batch that the leaf
-- was queued by; any other by the batch of the seal, and by those that the proof left, as far as they speak of it.
CREATE OR REPLACE FUNCTION proof_timeline(p_proof uuid)
RETURNS TABLE (id bigint, state proof_state, changes_state boolean, at timestamptz, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  WITH p AS (
    SELECT p.id, p.tenant_id, p.submission_id, s.batch_id, l.index, l.batch_id AS leaf_batch_id
    FROM proofs p LEFT JOIN seals s ON s.proof_id = p.id LEFT JOIN leaves l ON l.proof_id = p.id
    WHERE p.id = p_proof AND p.tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid
  ), scoped AS (
    SELECT t.* FROM p JOIN timeline t ON t.tenant_id = p.tenant_id
      AND (t.submission_id = p.submission_id OR t.batch_id = CASE WHEN t.leaf_from IS NULL THEN p.batch_id ELSE p.leaf_batch_id END)
    UNION
    SELECT t.* FROM p JOIN former_batches f ON f.proof_id = p.id
      JOIN timeline t ON t.tenant_id = p.tenant_id AND t.batch_id = f.batch_id AND t.leaf_from IS NULL AND t.id <= f.last_timeline_id
  )
  SELECT t.id, t.state, t.changes_state, t.at, t.detail
  FROM p CROSS JOIN scoped t
  WHERE (t.leaf_from IS NULL OR (p.index >= t.leaf_from AND p.index < t.leaf_to))
    AND (t.members IS NULL OR p.id = ANY (t.members)) AND (t.exceptions IS NULL OR p.id <> ALL (t.exceptions))
  ORDER BY t.id
$$;

-- Row-level security and rights ------------------------------------------------------------------------------------

DO $$
DECLARE secured text;
BEGIN
  FOREACH secured IN ARRAY ARRAY['command_requests', 'proof_commands', 'retry_queue', 'former_batches'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', secured);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', secured);
    EXECUTE format('CREATE POLICY tenant ON %I TO proofline_api USING (tenant_id = nullif(current_setting(''proofline.tenant'', true), '''')::uuid)', secured);
    EXECUTE format('CREATE POLICY worker ON %I TO proofline_worker USING (true) WITH CHECK (true)', secured);
    EXECUTE format('CREATE POLICY definer ON %I TO proofline_owner USING (true) WITH CHECK (true)', secured);
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION append_audit(timestamptz, text, uuid, text, text, jsonb), matches_filter(proofs, jsonb, timestamptz),
  request_proof_commands(uuid, text, text, uuid, text, uuid[], jsonb, text, bytea, timestamptz), read_command_request(uuid, uuid),
  read_proof_commands(uuid, uuid, text, integer), finished_command_requests(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_proof_commands(uuid, text, text, uuid, text, uuid[], jsonb, text, bytea, timestamptz), read_command_request(uuid, uuid),
  read_proof_commands(uuid, uuid, text, integer), finished_command_requests(uuid[]) TO proofline_api;
GRANT EXECUTE ON FUNCTION matches_filter(proofs, jsonb, timestamptz) TO proofline_worker;
GRANT SELECT, INSERT, UPDATE ON command_requests, proof_commands TO proofline_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON retry_queue, former_batches TO proofline_worker;
