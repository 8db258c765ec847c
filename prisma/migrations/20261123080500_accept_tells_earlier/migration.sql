DROP FUNCTION accept(jsonb);

-- As before, and tells which earlier proofs of its tenant have the digests of a request: a read of its own cost each request a
-- transaction more. It refuses with TOO_MANY_PENDING what would take its tenant beyond its limit. Groups that other sessions
-- commit at the same moment are not seen: the limit may be passed by one group a session.
CREATE FUNCTION accept(input jsonb) RETURNS TABLE (n integer, outcome text, earlier jsonb)
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
  ), items AS MATERIALIZED (
    SELECT a.n, a.tenant, a.unit, a.submission, a."anchorPolicy", a."anchorDeadline", a."receivedAt", p.*, decode(p.digest, 'hex') AS digest_bytes
    FROM accepted a, jsonb_to_recordset(a.proofs) AS p (id uuid, ordinal integer, alg text, digest text, reference text, "referenceSalt" text, metadata jsonb, "metadataSalt" text)
  ), new_proofs AS (
    INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, reference, reference_salt, metadata, metadata_salt,
      anchor_policy, anchor_deadline, received_at)
    SELECT i.id, i.tenant, i.unit, i.submission, i.ordinal, i.alg, i.digest_bytes, i.reference, decode(i."referenceSalt", 'hex'), i.metadata,
      decode(i."metadataSalt", 'hex'), i."anchorPolicy", i."anchorDeadline", i."receivedAt"
    FROM items i
  ), new_timeline AS (
    INSERT INTO timeline (tenant_id, submission_id, state, at) SELECT tenant, submission, 'RECEIVED', "receivedAt" FROM accepted
  ), new_events AS (
    INSERT INTO events (at, type, tenant_id, submission_id, state) SELECT "receivedAt", 'proof.received', tenant, submission, 'RECEIVED' FROM accepted
  ), queued AS (
    INSERT INTO submission_queue (submission_id, tenant_id, anchor_policy, anchor_window, proof_count, received_at)
    SELECT submission, tenant, "anchorPolicy", "anchorWindow", jsonb_array_length(proofs), "receivedAt" FROM accepted
  ), known AS (
    -- The newest ten of each digest, newest first. Proofs accepted in the same moment are neither earlier nor later.
    SELECT d.n, jsonb_object_agg(d.digest, e.ids) AS by_digest
    FROM (SELECT DISTINCT i.n, i.tenant, i."receivedAt", i.digest, i.digest_bytes FROM items i) d, LATERAL (
      SELECT to_jsonb(ARRAY(SELECT p.id FROM proofs p WHERE p.tenant_id = d.tenant AND p.digest = d.digest_bytes AND p.received_at < d."receivedAt"
        ORDER BY p.received_at DESC, p.id DESC LIMIT 10)) AS ids) e
    WHERE e.ids <> '[]' GROUP BY d.n
  )
  SELECT r.n, CASE WHEN r.refusal IS NOT NULL THEN r.refusal WHEN a.submission IS NOT NULL THEN 'accepted' ELSE 'duplicate' END, k.by_digest
  FROM requests r LEFT JOIN accepted a ON a.submission = r.submission LEFT JOIN known k ON k.n = r.n;
  PERFORM pg_notify('proofline_intake', '');
END $$;

REVOKE ALL ON FUNCTION accept(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accept(jsonb) TO proofline_intake;

-- A certificate with its signature is a little over the size at which Postgres would compress it, in vain: it is base64.
ALTER TABLE certificates SET (toast_tuple_target = 4080);

-- Nobody counts beside accept() any more.
DROP FUNCTION pending_proofs();
