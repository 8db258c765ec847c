-- Operating anchors: what an operator decides about one, what it cost, how far a topic was walked, and what pages somebody.

-- Fee of the transaction that counts, and the leaves that no earlier anchor covered: what the fee is shared by.
ALTER TABLE anchors ADD COLUMN fee_tinybars bigint CHECK (fee_tinybars >= 0);
ALTER TABLE anchors ADD COLUMN new_leaves bigint CHECK (new_leaves >= 0);
DROP INDEX anchors_open;
CREATE INDEX anchors_open ON anchors (created_at) WHERE state NOT IN ('VERIFIED', 'FAILED');
-- By their place in the topic: to compare with what a mirror shows there.
CREATE INDEX anchors_sequence ON anchors ((entry ->> 'network'), (entry ->> 'topicId'), ((entry ->> 'sequenceNumber')::bigint)) WHERE state = 'VERIFIED';

-- Written by the API through the function below, with its audit entry and the signal to the workflow; decided by the workflow.
CREATE TABLE anchor_commands (
  id uuid PRIMARY KEY,
  origin text NOT NULL,
  size bigint NOT NULL,
  verb text NOT NULL CHECK (verb IN ('retry', 'accept', 'abandon')),
  actor text NOT NULL CHECK (length(actor) <= 256),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  -- Of accept and abandon: {statement, distrustedMirrors: [URL]}.
  evidence jsonb,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'APPLIED', 'REFUSED')),
  code text,
  detail text,
  created_at timestamptz(6) NOT NULL,
  finished_at timestamptz(6),
  FOREIGN KEY (origin, size) REFERENCES anchors,
  CHECK ((state = 'PENDING') = (finished_at IS NULL)),
  CHECK ((state = 'REFUSED') = (code IS NOT NULL)),
  CHECK ((verb = 'retry') = (evidence IS NULL))
);
CREATE INDEX anchor_commands_anchor ON anchor_commands (origin, size, created_at);

-- How far the messages of a topic were read without a break.
CREATE TABLE topic_cursors (
  network text NOT NULL,
  topic_id text NOT NULL,
  sequence_number bigint NOT NULL CHECK (sequence_number >= 0),
  running_hash bytea NOT NULL CHECK (length(running_hash) = 48),
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (network, topic_id)
);

-- What a person must look at, once for each thing. It is over when `ended_at` is set; then it may begin again.
CREATE TABLE alarms (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (length(kind) <= 64),
  subject text NOT NULL CHECK (length(subject) <= 512),
  detail jsonb NOT NULL DEFAULT '{}',
  began_at timestamptz(6) NOT NULL,
  ended_at timestamptz(6)
);
CREATE UNIQUE INDEX alarms_open ON alarms (kind, subject) WHERE ended_at IS NULL;

-- Asks for a verb on an anchor. Outcome: `created`, `unknown`, or the state of the anchor if the verb does not fit it, in
-- which case nothing is written. The API checks the role before it asks. Locks: the anchor, the audit trail.
CREATE FUNCTION request_anchor_command(p_id uuid, p_origin text, p_size bigint, p_verb text, p_actor text, p_reason text, p_evidence jsonb, p_at timestamptz)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_state text;
  v_workflow text := 'anchor:' || p_origin || ':' || p_size;
BEGIN
  SELECT state INTO v_state FROM anchors WHERE origin = p_origin AND size = p_size FOR UPDATE;
  IF v_state IS NULL THEN
    RETURN 'unknown';
  END IF;
  IF v_state <> (CASE p_verb WHEN 'retry' THEN 'REJECTED' ELSE 'SUSPECT' END) THEN
    RETURN v_state;
  END IF;
  INSERT INTO anchor_commands (id, origin, size, verb, actor, reason, evidence, created_at)
  VALUES (p_id, p_origin, p_size, p_verb, p_actor, p_reason, p_evidence, p_at);
  INSERT INTO outbox (kind, workflow_id, name, payload, next_attempt_at, created_at) VALUES ('signal', v_workflow, 'anchorCommanded', '{}', p_at, p_at);
  PERFORM pg_notify('proofline_outbox', '');
  PERFORM append_audit(p_at, p_actor, NULL, 'anchor.' || p_verb || '.requested', v_workflow,
    jsonb_strip_nulls(jsonb_build_object('command', p_id::text, 'reason', p_reason, 'evidence', p_evidence ->> 'statement',
      'distrustedMirrors', nullif((SELECT string_agg(url, ' ') FROM jsonb_array_elements_text(p_evidence -> 'distrustedMirrors') AS m (url)), ''))));
  RETURN 'created';
END $$;

CREATE FUNCTION read_anchor_commands(p_origin text, p_size bigint)
RETURNS TABLE (id uuid, verb text, actor text, reason text, evidence jsonb, state text, code text, detail text, created_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT c.id, c.verb, c.actor, c.reason, c.evidence, c.state, c.code, c.detail, c.created_at, c.finished_at
  FROM anchor_commands c WHERE c.origin = p_origin AND c.size = p_size ORDER BY c.created_at DESC, c.id LIMIT 100
$$;

-- What mirrors said of the attempts of an anchor, newest first.
CREATE FUNCTION read_anchor_attempts(p_origin text, p_size bigint)
RETURNS TABLE (attempt integer, state text, transaction_id text, failure jsonb, confirmation jsonb, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT t.attempt, t.state, t.transaction_id, t.failure, t.confirmation, t.updated_at
  FROM anchor_attempts t WHERE t.origin = p_origin AND t.size = p_size ORDER BY t.attempt DESC LIMIT 100
$$;

CREATE FUNCTION read_alarms(p_open_only boolean, p_limit integer)
RETURNS TABLE (id bigint, kind text, subject text, detail jsonb, began_at timestamptz, ended_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT a.id, a.kind, a.subject, a.detail, a.began_at, a.ended_at FROM alarms a
  WHERE NOT p_open_only OR a.ended_at IS NULL ORDER BY a.id DESC LIMIT least(p_limit, 500)
$$;

-- How a tenant's proofs are anchored from the next submission on; false for an unknown tenant. Audited.
CREATE FUNCTION set_tenant_anchoring(p_tenant uuid, p_window anchor_window, p_policy anchor_policy, p_deadline_ms integer, p_may_weaken boolean,
  p_actor text, p_reason text, p_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  v_set tenants;
BEGIN
  UPDATE tenants SET anchor_window = coalesce(p_window, anchor_window), anchor_policy = coalesce(p_policy, anchor_policy),
    anchor_deadline_ms = coalesce(p_deadline_ms, anchor_deadline_ms), may_weaken_anchor_policy = coalesce(p_may_weaken, may_weaken_anchor_policy)
  WHERE id = p_tenant RETURNING * INTO v_set;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM append_audit(p_at, p_actor, p_tenant, 'tenant.anchoring.set', 'tenant:' || p_tenant, jsonb_build_object('reason', p_reason,
    'window', v_set.anchor_window::text, 'policy', v_set.anchor_policy::text, 'deadlineMs', v_set.anchor_deadline_ms, 'mayWeaken', v_set.may_weaken_anchor_policy));
  RETURN true;
END $$;

REVOKE ALL ON FUNCTION request_anchor_command(uuid, text, bigint, text, text, text, jsonb, timestamptz), read_anchor_commands(text, bigint),
  read_anchor_attempts(text, bigint), read_alarms(boolean, integer),
  set_tenant_anchoring(uuid, anchor_window, anchor_policy, integer, boolean, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_anchor_command(uuid, text, bigint, text, text, text, jsonb, timestamptz), read_anchor_commands(text, bigint),
  read_anchor_attempts(text, bigint), read_alarms(boolean, integer),
  set_tenant_anchoring(uuid, anchor_window, anchor_policy, integer, boolean, text, text, timestamptz) TO proofline_api;
GRANT SELECT, UPDATE ON anchor_commands TO proofline_worker;
GRANT SELECT, INSERT, UPDATE ON topic_cursors, alarms TO proofline_worker;
