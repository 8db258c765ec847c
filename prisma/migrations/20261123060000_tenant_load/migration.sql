-- How many proofs of each tenant are under way, so that accept() can refuse beyond `max_pending` without counting them.

-- Spread over rows, so that sessions that count for one tenant rarely wait for each other; only the sum means anything.
CREATE TABLE tenant_load (
  tenant_id uuid NOT NULL REFERENCES tenants,
  shard smallint NOT NULL,
  pending bigint NOT NULL,
  PRIMARY KEY (tenant_id, shard)
) WITH (fillfactor = 50);

-- Counted where it happens, whoever does it: a counter that missed a transition would lock its tenant out for ever.
CREATE FUNCTION count_accepted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
  INSERT INTO tenant_load AS l (tenant_id, shard, pending)
  SELECT tenant_id, pg_backend_pid() % 16, sum(proof_count) FROM added GROUP BY tenant_id ORDER BY tenant_id
  ON CONFLICT (tenant_id, shard) DO UPDATE SET pending = l.pending + excluded.pending;
  RETURN NULL;
END $$;
CREATE TRIGGER count_accepted AFTER INSERT ON submissions REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_accepted();

-- Both ways: a proof that FAILED is at its end until it is retried.
CREATE FUNCTION count_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
  INSERT INTO tenant_load AS l (tenant_id, shard, pending)
  SELECT tenant_id, pg_backend_pid() % 16, sum(n) FROM (
    SELECT tenant_id, 1 AS n FROM before WHERE state IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'FAILED', 'REJECTED', 'CANCELLED')
    UNION ALL SELECT tenant_id, -1 FROM after WHERE state IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'FAILED', 'REJECTED', 'CANCELLED')) change
  GROUP BY tenant_id HAVING sum(n) <> 0 ORDER BY tenant_id
  ON CONFLICT (tenant_id, shard) DO UPDATE SET pending = l.pending + excluded.pending;
  RETURN NULL;
END $$;
CREATE TRIGGER count_ended AFTER UPDATE ON proofs REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_ended();

INSERT INTO tenant_load (tenant_id, shard, pending)
SELECT tenant_id, 0, count(*) FROM proofs WHERE state NOT IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'FAILED', 'REJECTED', 'CANCELLED') GROUP BY tenant_id;

-- As before, and refuses with TOO_MANY_PENDING what would take its tenant beyond its limit. Groups that other sessions
-- commit at the same moment are not seen: the limit may be passed by one group a session.
CREATE OR REPLACE FUNCTION accept(input jsonb) RETURNS TABLE (n integer, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT r.*, sum(jsonb_array_length(r.proofs)) OVER (PARTITION BY r.tenant ORDER BY r.n) AS running
    FROM jsonb_to_recordset(input) AS r (
      n integer, submission uuid, tenant uuid, unit uuid, key uuid, route text, "idempotencyKey" text, "bodyHash" text, reference text,
      "anchorPolicy" anchor_policy, "anchorWindow" anchor_window, "anchorDeadline" timestamptz, "receivedAt" timestamptz, refused jsonb, proofs jsonb)
  ), load AS MATERIALIZED (
    -- Once a tenant, not once a request.
    SELECT t.id AS tenant, t.max_pending - coalesce((SELECT sum(l.pending) FROM tenant_load l WHERE l.tenant_id = t.id), 0) AS room
    FROM tenants t WHERE t.id IN (SELECT tenant FROM asked)
  ), requests AS MATERIALIZED (
    SELECT r.*, CASE
        WHEN k.id IS NULL THEN 'UNAUTHENTICATED'
        WHEN t.suspended_at IS NOT NULL THEN 'TENANT_SUSPENDED'
        WHEN u.closed_at IS NOT NULL THEN 'ORG_UNIT_CLOSED'
        -- What was accepted before under its key is answered as ever.
        WHEN r.running > o.room AND NOT EXISTS (
          SELECT FROM submissions s WHERE s.tenant_id = r.tenant AND s.idempotency_route = r.route AND s.idempotency_key = r."idempotencyKey") THEN 'TOO_MANY_PENDING'
      END AS refusal
    FROM asked r
    LEFT JOIN api_keys k ON k.id = r.key AND k.tenant_id = r.tenant AND k.org_unit_id = r.unit AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > r."receivedAt") AND 'proofs:write' = ANY (k.scopes)
    LEFT JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN org_units u ON u.id = k.org_unit_id
    LEFT JOIN load o ON o.tenant = r.tenant
  ), inserted AS (
    INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, reference, anchor_policy, anchor_window, anchor_deadline, proof_count, refused,
      received_at, idempotency_route, idempotency_key, body_hash)
    SELECT submission, tenant, unit, key, reference, "anchorPolicy", "anchorWindow", "anchorDeadline", jsonb_array_length(proofs), refused,
      "receivedAt", CASE WHEN "idempotencyKey" IS NOT NULL THEN route END, "idempotencyKey", decode("bodyHash", 'hex')
    FROM requests WHERE refusal IS NULL ORDER BY tenant, route, "idempotencyKey", n
    ON CONFLICT (tenant_id, idempotency_route, idempotency_key) DO NOTHING
    RETURNING id
  ), accepted AS MATERIALIZED (
    SELECT r.* FROM requests r JOIN inserted i ON i.id = r.submission
  ), new_proofs AS (
    INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, reference, reference_salt, metadata, metadata_salt,
      anchor_policy, anchor_deadline, received_at)
    SELECT p.id, a.tenant, a.unit, a.submission, p.ordinal, p.alg, decode(p.digest, 'hex'), p.reference, decode(p."referenceSalt", 'hex'), p.metadata,
      decode(p."metadataSalt", 'hex'), a."anchorPolicy", a."anchorDeadline", a."receivedAt"
    FROM accepted a, jsonb_to_recordset(a.proofs) AS p (id uuid, ordinal integer, alg text, digest text, reference text, "referenceSalt" text, metadata jsonb, "metadataSalt" text)
  ), new_timeline AS (
    INSERT INTO timeline (tenant_id, submission_id, state, at) SELECT tenant, submission, 'RECEIVED', "receivedAt" FROM accepted
  ), new_events AS (
    INSERT INTO events (at, type, tenant_id, submission_id, state) SELECT "receivedAt", 'proof.received', tenant, submission, 'RECEIVED' FROM accepted
  ), queued AS (
    INSERT INTO submission_queue (submission_id, tenant_id, anchor_policy, anchor_window, proof_count, received_at)
    SELECT submission, tenant, "anchorPolicy", "anchorWindow", jsonb_array_length(proofs), "receivedAt" FROM accepted
  )
  SELECT r.n, CASE WHEN r.refusal IS NOT NULL THEN r.refusal WHEN a.submission IS NOT NULL THEN 'accepted' ELSE 'duplicate' END
  FROM requests r LEFT JOIN accepted a ON a.submission = r.submission;
  PERFORM pg_notify('proofline_intake', '');
END $$;

ALTER TABLE tenant_load ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_load FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON tenant_load TO proofline_worker USING (true) WITH CHECK (true);
CREATE POLICY definer ON tenant_load TO proofline_owner USING (true) WITH CHECK (true);
GRANT SELECT ON tenant_load TO proofline_worker;
REVOKE ALL ON FUNCTION count_accepted(), count_ended() FROM PUBLIC;
