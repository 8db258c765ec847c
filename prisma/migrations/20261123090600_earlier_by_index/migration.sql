-- A session plans accept() once. Planned while a tenant had few proofs, it looked for the earlier proofs of a digest in the order
-- of the tenant's list: a submission of ten thousand then read the whole list for each of its digests, and ended at the time
-- limit of a statement. What is asked for is now the order of this index alone, whatever the planner believes of the sizes.
DROP INDEX proofs_digest;
CREATE INDEX proofs_digest ON proofs (tenant_id, digest, received_at DESC NULLS LAST, id DESC NULLS LAST);

-- As before, and never reads a table whole.
CREATE OR REPLACE FUNCTION accept(input jsonb) RETURNS TABLE (n integer, outcome text, earlier jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE asked AS MATERIALIZED (
    SELECT r.*, sum(jsonb_array_length(r.proofs)) OVER (PARTITION BY r.tenant) AS together
    FROM jsonb_to_recordset(input) AS r (
      n integer, submission uuid, tenant uuid, unit uuid, key uuid, route text, "idempotencyKey" text, "bodyHash" text, reference text,
      "anchorPolicy" anchor_policy, "anchorWindow" anchor_window, "anchorDeadline" timestamptz, "receivedAt" timestamptz, refused jsonb, proofs jsonb)
  ), load AS MATERIALIZED (
    -- Once a tenant, not once a request.
    SELECT t.id AS tenant, t.max_pending - coalesce((SELECT sum(l.pending) FROM tenant_load l WHERE l.tenant_id = t.id), 0)::bigint AS room
    FROM tenants t WHERE t.id IN (SELECT tenant FROM asked)
  ), requests AS MATERIALIZED (
    SELECT r.*, o.room, CASE
        WHEN k.id IS NULL THEN 'UNAUTHENTICATED'
        WHEN t.suspended_at IS NOT NULL THEN 'TENANT_SUSPENDED'
        WHEN u.closed_at IS NOT NULL THEN 'ORG_UNIT_CLOSED'
      END AS refusal
    FROM asked r
    LEFT JOIN api_keys k ON k.id = r.key AND k.tenant_id = r.tenant AND k.org_unit_id = r.unit AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > r."receivedAt") AND 'proofs:write' = ANY (k.scopes)
    LEFT JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN org_units u ON u.id = k.org_unit_id
    LEFT JOIN load o ON o.tenant = r.tenant
  ), newcomers AS MATERIALIZED (
    -- Of tenants whose requests might not fit all together: as a rule there is none, and nothing below is looked at. What was
    -- accepted before under its key is answered as ever and takes no room; twins that share a key take it once, for the first.
    SELECT r.n, r.tenant, r.room, jsonb_array_length(r.proofs) AS size,
      min(r.n) OVER (PARTITION BY r.tenant, r.route, r."idempotencyKey", CASE WHEN r."idempotencyKey" IS NULL THEN r.n END) AS first_twin
    FROM requests r LEFT JOIN LATERAL (
      SELECT s.id FROM submissions s WHERE s.tenant_id = r.tenant AND s.idempotency_route = r.route AND s.idempotency_key = r."idempotencyKey" LIMIT 1) e ON true
    WHERE r.refusal IS NULL AND r.together > r.room AND e.id IS NULL
  ), candidates AS MATERIALIZED (
    SELECT n, tenant, room, size, row_number() OVER (PARTITION BY tenant ORDER BY n) AS place FROM newcomers WHERE n = first_twin AND size <= room
  ), filled AS (
    -- One after the other: what is refused leaves its room to the next.
    SELECT n, tenant, place, true AS fits, room - size AS room FROM candidates WHERE place = 1
    UNION ALL
    SELECT c.n, c.tenant, c.place, c.size <= f.room, CASE WHEN c.size <= f.room THEN f.room - c.size ELSE f.room END
    FROM filled f JOIN candidates c ON c.tenant = f.tenant AND c.place = f.place + 1
  ), without_room AS MATERIALIZED (
    SELECT w.n FROM newcomers w WHERE w.first_twin NOT IN (SELECT f.n FROM filled f WHERE f.fits)
  ), inserted AS (
    INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, reference, anchor_policy, anchor_window, anchor_deadline, proof_count, refused,
      received_at, idempotency_route, idempotency_key, body_hash)
    SELECT submission, tenant, unit, key, reference, "anchorPolicy", "anchorWindow", "anchorDeadline", jsonb_array_length(proofs), refused,
      "receivedAt", CASE WHEN "idempotencyKey" IS NOT NULL THEN route END, "idempotencyKey", decode("bodyHash", 'hex')
    FROM requests WHERE refusal IS NULL AND n NOT IN (SELECT w.n FROM without_room w) ORDER BY tenant, route, "idempotencyKey", n
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
    -- The newest ten of each digest, newest first, in the order of proofs_digest and of no other index. Proofs accepted in the
    -- same moment are neither earlier nor later.
    SELECT d.n, jsonb_object_agg(d.digest, e.ids) AS by_digest
    FROM (SELECT DISTINCT i.n, i.tenant, i."receivedAt", i.digest, i.digest_bytes FROM items i) d, LATERAL (
      SELECT to_jsonb(ARRAY(SELECT p.id FROM proofs p WHERE p.tenant_id = d.tenant AND p.digest = d.digest_bytes AND p.received_at < d."receivedAt"
        ORDER BY p.received_at DESC NULLS LAST, p.id DESC NULLS LAST LIMIT 10)) AS ids) e
    WHERE e.ids <> '[]' GROUP BY d.n
  )
  SELECT r.n, CASE WHEN r.refusal IS NOT NULL THEN r.refusal WHEN w.n IS NOT NULL THEN 'TOO_MANY_PENDING'
      WHEN a.submission IS NOT NULL THEN 'accepted' ELSE 'duplicate' END, k.by_digest
  FROM requests r LEFT JOIN accepted a ON a.submission = r.submission LEFT JOIN known k ON k.n = r.n
    LEFT JOIN without_room w ON w.n = r.n;
  PERFORM pg_notify('proofline_intake', '');
END $$;
