-- Filters are counted and expanded in steps of bounded rows: a tenant's history may hold tens of millions of proofs, of
-- which a filter matches one. Those that are open take turns.

ALTER TABLE command_requests
  -- Proofs received before are not meant.
  ADD COLUMN floor_at timestamptz(6),
  -- Down to here `matched` was counted when the filter was asked; what its expansion finds below is added. Null once all is counted.
  ADD COLUMN counted_at timestamptz(6),
  ADD COLUMN counted_id uuid,
  -- The open filter with the lowest goes next, and to the end of the line with its step: SET turn = DEFAULT.
  ADD COLUMN turn bigint GENERATED ALWAYS AS IDENTITY;

-- An open filter has its bounds from the start; `matched` of those that are open was counted whole.
UPDATE command_requests SET floor_at = coalesce((filter ->> 'receivedFrom')::timestamptz, '-infinity'),
  cursor_at = coalesce(cursor_at, least(coalesce((filter ->> 'receivedTo')::timestamptz, 'infinity'), created_at + interval '1 microsecond')),
  cursor_id = coalesce(cursor_id, '00000000-0000-0000-0000-000000000000')
WHERE filter IS NOT NULL;
ALTER TABLE command_requests ADD CHECK (filter IS NULL OR (floor_at IS NOT NULL AND cursor_at IS NOT NULL AND cursor_id IS NOT NULL)),
  ADD CHECK ((counted_at IS NULL) = (counted_id IS NULL)), ADD CHECK (counted_at IS NULL OR NOT is_expanded);

DROP INDEX command_requests_open;
CREATE INDEX command_requests_open ON command_requests (turn) WHERE NOT is_expanded;

-- The next `p_rows` proofs of a tenant below (received_at, id), newest first, and which of them the filter matches: one range of
-- `proofs_listing`, whatever the filter. `n` numbers them from 1, and whoever stops early reads no further. Without settings of
-- its own, so that it is inlined; callers forbid the sort, for which the whole range would be read.
CREATE FUNCTION read_filter(p_filter jsonb, p_floor timestamptz, p_below_at timestamptz, p_below_id uuid, p_rows integer)
RETURNS TABLE (id uuid, received_at timestamptz, n bigint, is_match boolean)
LANGUAGE sql STABLE AS $$
  SELECT p.id, p.received_at, row_number() OVER (ORDER BY p.received_at DESC, p.id DESC),
    p_filter -> 'states' ? p.state::text AND (p_filter ->> 'submission' IS NULL OR p.submission_id = (p_filter ->> 'submission')::uuid)
  FROM proofs p
  -- One upper bound, the cursor: of two, a scan begins at the first named and passes over everything between.
  WHERE p.tenant_id = (p_filter ->> 'tenant')::uuid AND p.received_at >= p_floor AND (p.received_at, p.id) < (p_below_at, p_below_id)
  ORDER BY p.received_at DESC, p.id DESC LIMIT p_rows
$$;

DROP FUNCTION request_proof_commands(uuid, text, text, uuid, text, uuid[], jsonb, text, bytea, timestamptz);
DROP FUNCTION matches_filter(proofs, jsonb, timestamptz);
DROP FUNCTION read_command_request(uuid, uuid);

-- Writes a request with its commands and its audit entry. Outcome: `created`; `replayed` or `mismatch` if the actor used
-- the idempotency key before, for the same body or another; `unknown` with the ids that are nobody's or another tenant's,
-- in which case nothing is written. A null p_tenant is an operator: the API checks the role before it asks. Of the range
-- that a filter means the newest `p_count_rows` proofs are counted now, the rest as it is expanded.
CREATE FUNCTION request_proof_commands(p_id uuid, p_verb text, p_actor text, p_tenant uuid, p_reason text, p_proofs uuid[], p_filter jsonb,
  p_key text, p_hash bytea, p_at timestamptz, p_count_rows integer) RETURNS TABLE (outcome text, request uuid, unknown uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public SET enable_sort = off AS $$
DECLARE
  v_unknown uuid[];
  v_matched integer;
  v_floor timestamptz;
  v_below timestamptz;
  v_received timestamptz;
  v_counted_at timestamptz;
  v_counted_id uuid;
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
    v_floor := coalesce((p_filter ->> 'receivedFrom')::timestamptz, '-infinity');
    -- Proofs that came after the request are never meant, so that every filter ends.
    v_below := least((p_filter ->> 'receivedTo')::timestamptz, p_at + interval '1 microsecond');
    IF p_filter ->> 'submission' IS NOT NULL THEN
      -- Its proofs were received at one instant. One that is unknown, or another tenant's, has none.
      SELECT s.received_at INTO v_received FROM submissions s
      WHERE s.id = (p_filter ->> 'submission')::uuid AND s.tenant_id = (p_filter ->> 'tenant')::uuid;
      v_floor := greatest(v_floor, coalesce(v_received, 'infinity'));
      v_below := least(v_below, v_received + interval '1 microsecond');
    END IF;
    SELECT count(*) FILTER (WHERE f.is_match), max(f.received_at) FILTER (WHERE f.n = p_count_rows), (array_agg(f.id) FILTER (WHERE f.n = p_count_rows))[1]
    INTO v_matched, v_counted_at, v_counted_id
    FROM read_filter(p_filter, v_floor, v_below, '00000000-0000-0000-0000-000000000000', p_count_rows) f;
  END IF;
  -- A twin under the same key waits here for the first to commit.
  INSERT INTO command_requests (id, verb, actor, tenant_id, reason, idempotency_key, body_hash, filter, matched, floor_at, cursor_at, cursor_id,
    counted_at, counted_id, is_expanded, created_at)
  VALUES (p_id, p_verb, p_actor, p_tenant, p_reason, p_key, p_hash, p_filter, v_matched, v_floor, v_below,
    CASE WHEN p_filter IS NOT NULL THEN '00000000-0000-0000-0000-000000000000'::uuid END, v_counted_at, v_counted_id, p_filter IS NULL, p_at)
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
    jsonb_strip_nulls(jsonb_build_object('command', p_id, 'reason', p_reason, 'proofs', v_matched, 'atLeast', CASE WHEN v_counted_at IS NOT NULL THEN true END,
      'filter', p_filter::text)));
  RETURN QUERY SELECT 'created', p_id, NULL::uuid[];
END $$;

-- A request with its counts, `matched` whole once `is_counted`; a tenant sees its own, a null tenant (an operator) every one.
CREATE FUNCTION read_command_request(p_id uuid, p_tenant uuid)
RETURNS TABLE (id uuid, verb text, actor text, reason text, by_filter boolean, matched integer, is_counted boolean, is_expanded boolean, created_at timestamptz,
  pending integer, applied integer, refused integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT r.id, r.verb, r.actor, r.reason, r.filter IS NOT NULL, r.matched, r.counted_at IS NULL, r.is_expanded, r.created_at, c.pending, c.applied, c.refused
  FROM command_requests r, LATERAL (
    SELECT count(*) FILTER (WHERE state = 'PENDING')::int AS pending, count(*) FILTER (WHERE state = 'APPLIED')::int AS applied,
      count(*) FILTER (WHERE state = 'REFUSED')::int AS refused FROM proof_commands k WHERE k.request_id = r.id) c
  WHERE r.id = p_id AND (p_tenant IS NULL OR r.tenant_id = p_tenant)
$$;

REVOKE ALL ON FUNCTION read_filter(jsonb, timestamptz, timestamptz, uuid, integer),
  request_proof_commands(uuid, text, text, uuid, text, uuid[], jsonb, text, bytea, timestamptz, integer), read_command_request(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_proof_commands(uuid, text, text, uuid, text, uuid[], jsonb, text, bytea, timestamptz, integer),
  read_command_request(uuid, uuid) TO proofline_api;
GRANT EXECUTE ON FUNCTION read_filter(jsonb, timestamptz, timestamptz, uuid, integer) TO proofline_worker;
