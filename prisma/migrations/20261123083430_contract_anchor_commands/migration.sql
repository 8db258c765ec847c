-- Verbs of operators on anchors in the registry contract: the same rows, function and states as for those on the topic.

-- FAILED is an anchor that was given up, as on the topic: what waits for a person because its attempt failed is REJECTED.
UPDATE contract_anchors SET state = 'REJECTED' WHERE state = 'FAILED';
DROP INDEX contract_anchors_open;
CREATE INDEX contract_anchors_open ON contract_anchors (updated_at) WHERE state NOT IN ('VERIFIED', 'FAILED');

-- `medium`: where the anchor stands or is to stand, as PROOFLINE_ANCHOR_MODE names it; each has its own table of anchors.
ALTER TABLE anchor_commands ADD COLUMN medium text NOT NULL DEFAULT 'hcs' CHECK (medium IN ('hcs', 'contract'));
ALTER TABLE anchor_commands ALTER COLUMN medium DROP DEFAULT;
ALTER TABLE anchor_commands ADD COLUMN topic_size bigint GENERATED ALWAYS AS (CASE medium WHEN 'hcs' THEN size END) STORED;
ALTER TABLE anchor_commands ADD COLUMN contract_size bigint GENERATED ALWAYS AS (CASE medium WHEN 'contract' THEN size END) STORED;
ALTER TABLE anchor_commands DROP CONSTRAINT anchor_commands_origin_size_fkey;
ALTER TABLE anchor_commands ADD FOREIGN KEY (origin, topic_size) REFERENCES anchors;
ALTER TABLE anchor_commands ADD FOREIGN KEY (origin, contract_size) REFERENCES contract_anchors;
DROP INDEX anchor_commands_anchor;
CREATE INDEX anchor_commands_anchor ON anchor_commands (medium, origin, size, created_at);

-- A command that is sent again under its key is answered with the outcome of the first.
ALTER TABLE anchor_commands ADD COLUMN idempotency_key text CHECK (length(idempotency_key) <= 255);
CREATE UNIQUE INDEX anchor_commands_idempotency ON anchor_commands (actor, idempotency_key);

DROP FUNCTION request_anchor_command(uuid, text, bigint, text, text, text, jsonb, timestamptz);
DROP FUNCTION read_anchor_commands(text, bigint);
DROP FUNCTION read_anchor_attempts(text, bigint);

-- Asks for a verb on an anchor. Outcome: `created` with the command; `replayed` with the one of the same actor and key, or
-- `mismatch` if that was another; `unknown`; or how the anchor is if the verb does not fit it, in which case nothing is
-- written. The API checks the role before it asks. Locks: the anchor, the audit trail.
CREATE FUNCTION request_anchor_command(p_id uuid, p_medium text, p_origin text, p_size bigint, p_verb text, p_actor text, p_reason text, p_evidence jsonb,
  p_key text, p_at timestamptz) RETURNS TABLE (outcome text, command uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_state text;
  v_failure jsonb;
  v_workflow text := CASE p_medium WHEN 'hcs' THEN 'anchor:' ELSE 'anchor-contract:' END || p_origin || ':' || p_size;
BEGIN
  IF p_medium = 'hcs' THEN
    SELECT a.state, a.failure INTO v_state, v_failure FROM anchors a WHERE a.origin = p_origin AND a.size = p_size FOR UPDATE;
  ELSE
    SELECT a.state, a.failure INTO v_state, v_failure FROM contract_anchors a WHERE a.origin = p_origin AND a.size = p_size FOR UPDATE;
  END IF;
  IF v_state IS NULL THEN
    RETURN QUERY SELECT 'unknown', NULL::uuid;
    RETURN;
  END IF;
  IF p_key IS NOT NULL THEN
    RETURN QUERY SELECT
      CASE WHEN (c.medium, c.origin, c.size, c.verb, c.reason) = (p_medium, p_origin, p_size, p_verb, p_reason) AND c.evidence IS NOT DISTINCT FROM p_evidence
        THEN 'replayed' ELSE 'mismatch' END, c.id
      FROM anchor_commands c WHERE c.actor = p_actor AND c.idempotency_key = p_key;
    IF FOUND THEN RETURN; END IF;
  END IF;
  -- Where a retry was allowed nothing is left to decide, though the state stays until the next step.
  IF v_state = 'REJECTED' AND v_failure IS NULL THEN
    v_state := 'being tried again';
  END IF;
  IF v_state <> (CASE p_verb WHEN 'retry' THEN 'REJECTED' ELSE 'SUSPECT' END) THEN
    RETURN QUERY SELECT v_state, NULL::uuid;
    RETURN;
  END IF;
  INSERT INTO anchor_commands (id, medium, origin, size, verb, actor, reason, evidence, idempotency_key, created_at)
  VALUES (p_id, p_medium, p_origin, p_size, p_verb, p_actor, p_reason, p_evidence, p_key, p_at)
  ON CONFLICT (actor, idempotency_key) DO NOTHING;
  -- A twin waited for the lock of the anchor above: this key was just used for another one.
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'mismatch', NULL::uuid;
    RETURN;
  END IF;
  INSERT INTO outbox (kind, workflow_id, name, payload, next_attempt_at, created_at) VALUES ('signal', v_workflow, 'anchorCommanded', '{}', p_at, p_at);
  PERFORM pg_notify('proofline_outbox', '');
  PERFORM append_audit(p_at, p_actor, NULL, 'anchor.' || p_verb || '.requested', v_workflow,
    jsonb_strip_nulls(jsonb_build_object('command', p_id::text, 'reason', p_reason, 'evidence', p_evidence ->> 'statement',
      'distrustedMirrors', nullif((SELECT string_agg(url, ' ') FROM jsonb_array_elements_text(p_evidence -> 'distrustedMirrors') AS m (url)), ''))));
  RETURN QUERY SELECT 'created', p_id;
END $$;

CREATE FUNCTION read_anchor_commands(p_medium text, p_origin text, p_size bigint)
RETURNS TABLE (id uuid, verb text, actor text, reason text, evidence jsonb, state text, code text, detail text, created_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT c.id, c.verb, c.actor, c.reason, c.evidence, c.state, c.code, c.detail, c.created_at, c.finished_at
  FROM anchor_commands c WHERE c.medium = p_medium AND c.origin = p_origin AND c.size = p_size ORDER BY c.created_at DESC, c.id LIMIT 100
$$;

-- What mirrors said of the attempts of an anchor, newest first.
CREATE FUNCTION read_anchor_attempts(p_medium text, p_origin text, p_size bigint)
RETURNS TABLE (attempt integer, state text, transaction_id text, failure jsonb, confirmation jsonb, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT t.attempt, t.state, t.transaction_id, t.failure, t.confirmation, t.updated_at FROM (
    SELECT a.attempt, a.state, a.transaction_id, a.failure, a.confirmation, a.updated_at FROM anchor_attempts a
    WHERE p_medium = 'hcs' AND a.origin = p_origin AND a.size = p_size
    UNION ALL
    SELECT a.attempt, a.state, a.transaction_id, a.failure, a.confirmation, a.updated_at FROM contract_attempts a
    WHERE p_medium = 'contract' AND a.origin = p_origin AND a.size = p_size) t
  ORDER BY t.attempt DESC LIMIT 100
$$;

REVOKE ALL ON FUNCTION request_anchor_command(uuid, text, text, bigint, text, text, text, jsonb, text, timestamptz),
  read_anchor_commands(text, text, bigint), read_anchor_attempts(text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_anchor_command(uuid, text, text, bigint, text, text, text, jsonb, text, timestamptz),
  read_anchor_commands(text, text, bigint), read_anchor_attempts(text, text, bigint) TO proofline_api;
