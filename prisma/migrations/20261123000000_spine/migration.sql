-- The spine's schema. Run by proofline_owner, which owns everything and is no process's login.
-- Processes log in as members of three roles: proofline_api (row-level security), proofline_intake (one function),
-- proofline_worker (set-based work across tenants).

DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['proofline_api', 'proofline_intake', 'proofline_worker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
    END IF;
  END LOOP;
END $$;

CREATE TYPE proof_state AS ENUM ('RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE', 'CERTIFIED', 'CERTIFIED_NO_ANCHOR', 'FAILED', 'REJECTED', 'CANCELLED');
CREATE TYPE anchor_policy AS ENUM ('NONE', 'PREFERRED', 'REQUIRED');
CREATE TYPE anchor_window AS ENUM ('express', 'standard', 'economy');

-- Tenants, units, keys -------------------------------------------------------------------------------------------

CREATE TABLE tenants (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  anchor_policy anchor_policy NOT NULL DEFAULT 'PREFERRED',
  anchor_window anchor_window NOT NULL DEFAULT 'express',
  anchor_deadline_ms integer NOT NULL DEFAULT 600000 CHECK (anchor_deadline_ms BETWEEN 0 AND 1209600000),
  may_weaken_anchor_policy boolean NOT NULL DEFAULT false,
  public_by_digest boolean NOT NULL DEFAULT false,
  max_pending integer NOT NULL DEFAULT 1000000 CHECK (max_pending > 0),
  suspended_at timestamptz(6),
  created_at timestamptz(6) NOT NULL
);

CREATE TABLE org_units (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  parent_id uuid REFERENCES org_units,
  depth integer NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 16),
  -- Root first, this unit last.
  path uuid[] NOT NULL,
  name text NOT NULL,
  closed_at timestamptz(6),
  created_at timestamptz(6) NOT NULL
);
CREATE INDEX org_units_tenant ON org_units (tenant_id, depth, id);

-- A key of a tenant has a unit; an operator's key has neither, but roles.
CREATE TABLE api_keys (
  id uuid PRIMARY KEY,
  tenant_id uuid REFERENCES tenants,
  org_unit_id uuid REFERENCES org_units,
  label text NOT NULL,
  prefix text NOT NULL,
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
  scopes text[] NOT NULL DEFAULT '{}',
  roles text[] NOT NULL DEFAULT '{}',
  expires_at timestamptz(6),
  revoked_at timestamptz(6),
  last_used_at timestamptz(6),
  created_at timestamptz(6) NOT NULL,
  CHECK ((tenant_id IS NULL) = (org_unit_id IS NULL))
);

-- Submissions and proofs -----------------------------------------------------------------------------------------

CREATE TABLE batches (
  id uuid PRIMARY KEY,
  anchor_policy anchor_policy NOT NULL,
  anchor_window anchor_window NOT NULL,
  proof_count integer NOT NULL CHECK (proof_count > 0),
  state text NOT NULL DEFAULT 'FORMED' CHECK (state IN ('FORMED', 'SEALED', 'CLOSED')),
  generation integer NOT NULL DEFAULT 1,
  -- Leaves queued and not yet in the tree; the largest index among those that are.
  leaves_pending integer NOT NULL DEFAULT 0 CHECK (leaves_pending >= 0),
  max_leaf_index bigint,
  -- The earliest deadline of a PREFERRED member.
  anchor_deadline timestamptz(6),
  -- Set with the wake row, so that each batch is woken once for its evidence.
  evidence_complete_at timestamptz(6),
  formed_at timestamptz(6) NOT NULL,
  sealed_at timestamptz(6),
  closed_at timestamptz(6)
) WITH (fillfactor = 50);
CREATE INDEX batches_unsealed ON batches (formed_at) WHERE state = 'FORMED';
CREATE INDEX batches_incomplete ON batches (max_leaf_index) WHERE state = 'SEALED' AND evidence_complete_at IS NULL;
CREATE INDEX batches_open ON batches (formed_at) WHERE state <> 'CLOSED';

CREATE TABLE submissions (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenants,
  org_unit_id uuid NOT NULL REFERENCES org_units,
  api_key_id uuid NOT NULL,
  reference text CHECK (length(reference) <= 256),
  anchor_policy anchor_policy NOT NULL,
  anchor_window anchor_window NOT NULL,
  anchor_deadline timestamptz(6),
  proof_count integer NOT NULL CHECK (proof_count > 0),
  -- The items refused under partial=true: [{index, code, detail}].
  refused jsonb,
  received_at timestamptz(6) NOT NULL,
  idempotency_route text,
  idempotency_key text,
  -- SHA-256 of the JCS of the parsed body and effective parameters.
  body_hash bytea NOT NULL CHECK (length(body_hash) = 32),
  batch_id uuid REFERENCES batches
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX submissions_idempotency ON submissions (tenant_id, idempotency_route, idempotency_key);
CREATE INDEX submissions_batch ON submissions (batch_id);
CREATE INDEX submissions_tenant ON submissions (tenant_id, received_at, id);

CREATE TABLE proofs (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  org_unit_id uuid NOT NULL,
  submission_id uuid NOT NULL REFERENCES submissions,
  ordinal integer NOT NULL,
  digest_alg text NOT NULL CHECK (digest_alg IN ('sha-256', 'sha-384', 'sha-512')),
  digest bytea NOT NULL CHECK (length(digest) IN (32, 48, 64)),
  reference text CHECK (length(reference) <= 256),
  reference_salt bytea,
  metadata jsonb,
  metadata_salt bytea,
  anchor_policy anchor_policy NOT NULL,
  anchor_deadline timestamptz(6),
  received_at timestamptz(6) NOT NULL,
  state proof_state NOT NULL DEFAULT 'RECEIVED',
  -- {stage, code, detail, at} while FAILED or REJECTED.
  failure jsonb,
  certified_at timestamptz(6)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX proofs_submission ON proofs (submission_id, ordinal);
CREATE INDEX proofs_digest ON proofs (tenant_id, digest, received_at);
CREATE INDEX proofs_reference ON proofs (tenant_id, reference) WHERE reference IS NOT NULL;
CREATE INDEX proofs_listing ON proofs (tenant_id, received_at DESC, id DESC);

-- What waits for a batch: one row a submission, deleted when its batch is formed.
CREATE TABLE submission_queue (
  submission_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  anchor_policy anchor_policy NOT NULL,
  anchor_window anchor_window NOT NULL,
  proof_count integer NOT NULL,
  received_at timestamptz(6) NOT NULL
);
CREATE INDEX submission_queue_order ON submission_queue (anchor_policy, anchor_window, tenant_id, received_at, submission_id);

-- A proof's statement, frozen before it is signed, and its seal. The first persisted seal wins.
CREATE TABLE seals (
  proof_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  ordinal integer NOT NULL,
  kid text NOT NULL,
  version integer NOT NULL,
  -- JCS text.
  statement text NOT NULL,
  signature bytea,
  sealed_at timestamptz(6)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX seals_batch ON seals (batch_id, ordinal);

-- Timeline and events: one row per (batch or submission, tenant, stage), expanded per proof by views and fan-out.
-- A row speaks of: the proofs of its scope and tenant; only those whose leaf index is in [leaf_from, leaf_to) if
-- set; only `members` if set; never `exceptions`. Rows are never changed.
CREATE TABLE timeline (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL,
  submission_id uuid,
  batch_id uuid,
  state proof_state NOT NULL,
  -- False: noted beside a state that stays (an anchor after the certificate was drafted).
  changes_state boolean NOT NULL DEFAULT true,
  at timestamptz(6) NOT NULL,
  leaf_from bigint,
  leaf_to bigint,
  members uuid[],
  exceptions uuid[],
  detail jsonb,
  CHECK ((submission_id IS NULL) <> (batch_id IS NULL))
);
CREATE INDEX timeline_submission ON timeline (submission_id) WHERE submission_id IS NOT NULL;
CREATE INDEX timeline_batch ON timeline (batch_id, tenant_id) WHERE batch_id IS NOT NULL;

CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz(6) NOT NULL,
  type text NOT NULL,
  tenant_id uuid NOT NULL,
  submission_id uuid,
  batch_id uuid,
  state proof_state,
  leaf_from bigint,
  leaf_to bigint,
  members uuid[],
  exceptions uuid[],
  payload jsonb,
  PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE INDEX events_tenant ON events (tenant_id, at);

-- Motion: what the relay must bring to Temporal. Deleted once delivered.
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('start', 'signal')),
  workflow_id text NOT NULL,
  -- Workflow type for a start, signal name for a signal.
  name text NOT NULL,
  payload jsonb NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz(6) NOT NULL,
  created_at timestamptz(6) NOT NULL
);
CREATE INDEX outbox_due ON outbox (next_attempt_at, id);

-- The log ----------------------------------------------------------------------------------------------------------

CREATE TABLE log_head (
  origin text PRIMARY KEY,
  size bigint NOT NULL CHECK (size >= 0),
  root bytea NOT NULL CHECK (length(root) = 32),
  -- The signed note of exactly this size; null between the commit of a head and its signature.
  note text,
  updated_at timestamptz(6) NOT NULL
);

CREATE TABLE leaf_queue (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  proof_id uuid NOT NULL UNIQUE,
  batch_id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  leaf bytea NOT NULL CHECK (length(leaf) = 32)
);

CREATE TABLE leaves (
  index bigint PRIMARY KEY CHECK (index >= 0),
  leaf bytea NOT NULL CHECK (length(leaf) = 32),
  proof_id uuid NOT NULL UNIQUE,
  batch_id uuid NOT NULL,
  tenant_id uuid NOT NULL
);

-- Full tiles only: 256 hashes; `root` is the hash that the tile contributes one level up.
CREATE TABLE tiles (
  level smallint NOT NULL CHECK (level >= 0),
  n bigint NOT NULL CHECK (n >= 0),
  hashes bytea NOT NULL CHECK (length(hashes) = 8192),
  root bytea NOT NULL CHECK (length(root) = 32),
  PRIMARY KEY (level, n)
);

CREATE TABLE checkpoints (
  origin text NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL CHECK (length(root) = 32),
  note text NOT NULL,
  published_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size)
);

CREATE TABLE timestamps (
  origin text NOT NULL,
  size bigint NOT NULL,
  tsa text NOT NULL,
  token bytea NOT NULL,
  token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
  gen_time timestamptz(6) NOT NULL,
  serial text NOT NULL,
  policy text NOT NULL,
  -- DER CRLs of the token's chain, fetched at acceptance.
  crls bytea[] NOT NULL DEFAULT '{}',
  self_operated boolean NOT NULL,
  accepted_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size),
  UNIQUE (tsa, serial)
);

CREATE TABLE anchor_windows (
  "window" anchor_window PRIMARY KEY,
  -- The largest leaf index that waits for an anchor in this window.
  needed_index bigint,
  closed_at timestamptz(6)
);
INSERT INTO anchor_windows ("window") VALUES ('express'), ('standard'), ('economy');

CREATE TABLE anchors (
  origin text NOT NULL,
  size bigint NOT NULL,
  "window" anchor_window NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'PREPARED', 'SENT', 'CONSENSUS', 'CONFIRMED', 'VERIFIED', 'REJECTED', 'FAILED', 'EXPIRED', 'SUSPECT')),
  attempt integer NOT NULL DEFAULT 0,
  -- The ledger's part of the bundle's anchor entry, once VERIFIED.
  entry jsonb,
  failure jsonb,
  created_at timestamptz(6) NOT NULL,
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size)
);
CREATE INDEX anchors_open ON anchors (created_at) WHERE state <> 'VERIFIED';
CREATE INDEX anchors_verified ON anchors (origin, size) WHERE state = 'VERIFIED';

-- The signed bytes are here before they are first sent.
CREATE TABLE anchor_attempts (
  origin text NOT NULL,
  size bigint NOT NULL,
  attempt integer NOT NULL CHECK (attempt > 0),
  state text NOT NULL CHECK (state IN ('PREPARED', 'SENT', 'CONSENSUS', 'CONFIRMED', 'VERIFIED', 'REJECTED', 'FAILED', 'EXPIRED', 'SUSPECT')),
  transaction_id text NOT NULL UNIQUE,
  prepared jsonb NOT NULL,
  signed_bytes bytea NOT NULL,
  receipt jsonb,
  confirmation jsonb,
  failure jsonb,
  created_at timestamptz(6) NOT NULL,
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size, attempt),
  FOREIGN KEY (origin, size) REFERENCES anchors
);

-- The one place that says what is covered. Cursors: leaves below them have been moved.
CREATE TABLE log_progress (
  origin text PRIMARY KEY,
  timestamped_size bigint NOT NULL DEFAULT 0,
  anchored_size bigint NOT NULL DEFAULT 0,
  timestamp_cursor bigint NOT NULL DEFAULT 0,
  anchor_cursor bigint NOT NULL DEFAULT 0,
  CHECK (timestamp_cursor <= timestamped_size),
  CHECK (anchor_cursor <= anchored_size AND anchor_cursor <= timestamp_cursor)
);

-- Licences ---------------------------------------------------------------------------------------------------------

CREATE TABLE licence_grants (
  id text PRIMARY KEY,
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
  tenant_id uuid NOT NULL REFERENCES tenants,
  seq integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('BASE', 'ADDENDUM', 'REVOCATION', 'TRANSFER')),
  jws text NOT NULL,
  payload jsonb NOT NULL,
  not_before timestamptz(6) NOT NULL,
  not_after timestamptz(6),
  revoked_at timestamptz(6),
  imported_by text NOT NULL,
  imported_at timestamptz(6) NOT NULL,
  UNIQUE (tenant_id, seq)
);

CREATE TABLE licence_periods (
  grant_id text NOT NULL REFERENCES licence_grants,
  n integer NOT NULL CHECK (n >= 0),
  tenant_id uuid NOT NULL,
  starts_at timestamptz(6) NOT NULL,
  ends_at timestamptz(6),
  quota bigint NOT NULL CHECK (quota >= 0),
  used bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (grant_id, n),
  CHECK (used >= 0 AND used <= quota),
  CHECK (ends_at IS NULL OR ends_at > starts_at)
) WITH (fillfactor = 50);
CREATE INDEX licence_periods_tenant ON licence_periods (tenant_id, starts_at);

-- A unit without a row shares its parent's room.
CREATE TABLE licence_allocations (
  grant_id text NOT NULL,
  n integer NOT NULL,
  org_unit_id uuid NOT NULL REFERENCES org_units,
  tenant_id uuid NOT NULL,
  quota bigint NOT NULL CHECK (quota >= 0),
  used bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (grant_id, n, org_unit_id),
  FOREIGN KEY (grant_id, n) REFERENCES licence_periods,
  CHECK (used >= 0 AND used <= quota)
) WITH (fillfactor = 50);

-- One unit for one proof, for ever.
CREATE TABLE licence_consumptions (
  proof_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  org_unit_id uuid NOT NULL,
  grant_id text NOT NULL,
  n integer NOT NULL,
  at timestamptz(6) NOT NULL
);
CREATE INDEX licence_consumptions_period ON licence_consumptions (grant_id, n);

-- Proofs whose evidence is complete and that wait for their unit, in the order in which they are served.
CREATE TABLE licence_queue (
  tenant_id uuid NOT NULL,
  received_at timestamptz(6) NOT NULL,
  proof_id uuid NOT NULL UNIQUE,
  org_unit_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  PRIMARY KEY (tenant_id, received_at, proof_id)
);
CREATE INDEX licence_queue_batch ON licence_queue (batch_id);

CREATE SEQUENCE certificate_numbers AS bigint;

-- A row is the draft: the point of no return. Only its signing is repeated.
CREATE TABLE certificates (
  proof_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  batch_id uuid NOT NULL,
  number text NOT NULL UNIQUE,
  final_state proof_state NOT NULL CHECK (final_state IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR')),
  -- JCS text.
  payload text NOT NULL,
  timestamp_size bigint NOT NULL,
  anchor_size bigint,
  jws text,
  drafted_at timestamptz(6) NOT NULL,
  signed_at timestamptz(6)
) WITH (fillfactor = 70);
CREATE INDEX certificates_unsigned ON certificates (batch_id) WHERE jws IS NULL;

-- Instance ---------------------------------------------------------------------------------------------------------

CREATE TABLE published_keys (
  kid text NOT NULL,
  version integer NOT NULL,
  purpose text NOT NULL,
  alg text NOT NULL,
  jwk jsonb NOT NULL,
  chain text[] NOT NULL DEFAULT '{}',
  valid_from timestamptz(6) NOT NULL,
  valid_to timestamptz(6),
  state text NOT NULL,
  compromised_at timestamptz(6),
  -- For log keys: the tree sizes it signs from and to.
  from_size bigint,
  to_size bigint,
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (kid, version)
);

-- The parts of /.well-known/proofline.json that the workers know: instance, roots, TSAs, ledgers.
CREATE TABLE instance (
  id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  document jsonb NOT NULL,
  updated_at timestamptz(6) NOT NULL
);

-- Hash-chained: hash = SHA-256(previous hash ‖ JCS of the entry).
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz(6) NOT NULL,
  actor text NOT NULL,
  tenant_id uuid,
  action text NOT NULL,
  subject text NOT NULL,
  detail jsonb NOT NULL DEFAULT '{}',
  prev_hash bytea NOT NULL,
  hash bytea NOT NULL UNIQUE
);

-- Functions --------------------------------------------------------------------------------------------------------

-- Accepts a group of requests that may cross tenants, in one statement each of four inserts. Returns one row per
-- request: accepted, duplicate (idempotency key seen before, or a twin in this group), or the code of the refusal.
-- Children are inserted only for submissions that the insert returned.
CREATE FUNCTION accept(input jsonb) RETURNS TABLE (n integer, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH requests AS MATERIALIZED (
    SELECT r.*, CASE
        WHEN k.id IS NULL THEN 'UNAUTHENTICATED'
        WHEN t.suspended_at IS NOT NULL THEN 'TENANT_SUSPENDED'
        WHEN u.closed_at IS NOT NULL THEN 'ORG_UNIT_CLOSED'
      END AS refusal
    FROM jsonb_to_recordset(input) AS r (
      n integer, submission uuid, tenant uuid, unit uuid, key uuid, route text, "idempotencyKey" text, "bodyHash" text, reference text,
      "anchorPolicy" anchor_policy, "anchorWindow" anchor_window, "anchorDeadline" timestamptz, "receivedAt" timestamptz, refused jsonb, proofs jsonb)
    LEFT JOIN api_keys k ON k.id = r.key AND k.tenant_id = r.tenant AND k.org_unit_id = r.unit AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > r."receivedAt") AND 'proofs:write' = ANY (k.scopes)
    LEFT JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN org_units u ON u.id = k.org_unit_id
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

-- Who bears this key, if anybody: looked up before the tenant is known, so across tenants.
CREATE FUNCTION authenticate_key(key_hash bytea, at timestamptz)
RETURNS TABLE (key_id uuid, tenant_id uuid, org_unit_id uuid, scopes text[], roles text[], tenant_anchor_policy anchor_policy, tenant_anchor_window anchor_window,
  anchor_deadline_ms integer, may_weaken_anchor_policy boolean, tenant_suspended boolean, unit_closed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT k.id, k.tenant_id, k.org_unit_id, k.scopes, k.roles, t.anchor_policy, t.anchor_window, t.anchor_deadline_ms, t.may_weaken_anchor_policy,
    coalesce(t.suspended_at IS NOT NULL, false), coalesce(u.closed_at IS NOT NULL, false)
  FROM api_keys k LEFT JOIN tenants t ON t.id = k.tenant_id LEFT JOIN org_units u ON u.id = k.org_unit_id
  WHERE k.hash = key_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > at)
$$;

-- The parts of one proof's bundle. Not granted to anybody: the two functions below are its doors.
CREATE TYPE bundle_row AS (proof_id uuid, tenant_id uuid, state proof_state, anchor_policy anchor_policy, received_at timestamptz, statement text, kid text, version integer,
  signature bytea, leaf_index bigint, tsa text, token bytea, crls bytea[], checkpoint_size bigint, checkpoint_note text, anchor_entry jsonb, anchor_size bigint,
  anchor_note text, certificate text);
CREATE FUNCTION bundle_parts(p_proof uuid, p_tenant uuid) RETURNS SETOF bundle_row
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT p.id, p.tenant_id, p.state, p.anchor_policy, p.received_at, s.statement, s.kid, s.version, s.signature, l.index, ts.tsa, ts.token, ts.crls, cp.size, cp.note,
    an.entry, an.size, an.note, c.jws
  FROM proofs p
  LEFT JOIN seals s ON s.proof_id = p.id AND s.signature IS NOT NULL
  LEFT JOIN leaves l ON l.proof_id = p.id
  LEFT JOIN certificates c ON c.proof_id = p.id AND c.jws IS NOT NULL
  -- The first token that covers the leaf; sizes only grow, so it stays the first.
  LEFT JOIN LATERAL (SELECT t.* FROM timestamps t WHERE t.size > l.index ORDER BY t.size LIMIT 1) ts ON true
  LEFT JOIN LATERAL (
    SELECT k.size, k.note FROM checkpoints k WHERE k.size > l.index AND (ts.size IS NULL OR k.size = ts.size) ORDER BY k.size DESC LIMIT 1) cp ON true
  LEFT JOIN LATERAL (
    SELECT a.entry, a.size, k.note FROM anchors a JOIN checkpoints k ON k.origin = a.origin AND k.size = a.size
    WHERE a.state = 'VERIFIED' AND a.size > l.index AND (c.anchor_size IS NULL OR a.size = c.anchor_size) ORDER BY a.size LIMIT 1) an ON true
  WHERE p.id = p_proof AND (p_tenant IS NULL OR p.tenant_id = p_tenant)
$$;

CREATE FUNCTION read_bundle(p_proof uuid) RETURNS SETOF bundle_row
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT * FROM bundle_parts(p_proof, nullif(current_setting('proofline.tenant', true), '')::uuid)
  WHERE nullif(current_setting('proofline.tenant', true), '') IS NOT NULL
$$;

CREATE FUNCTION public_verify(p_proof uuid) RETURNS SETOF bundle_row
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT * FROM bundle_parts(p_proof, NULL)
$$;

-- The life of one proof, expanded from the set-based rows.
CREATE FUNCTION proof_timeline(p_proof uuid)
RETURNS TABLE (id bigint, state proof_state, changes_state boolean, at timestamptz, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  WITH p AS (
    SELECT p.id, p.tenant_id, p.submission_id, s.batch_id, l.index
    FROM proofs p LEFT JOIN seals s ON s.proof_id = p.id LEFT JOIN leaves l ON l.proof_id = p.id
    WHERE p.id = p_proof AND p.tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid)
  SELECT t.id, t.state, t.changes_state, t.at, t.detail
  FROM p JOIN timeline t ON t.tenant_id = p.tenant_id AND (t.submission_id = p.submission_id OR t.batch_id = p.batch_id)
  WHERE (t.leaf_from IS NULL OR (p.index >= t.leaf_from AND p.index < t.leaf_to))
    AND (t.members IS NULL OR p.id = ANY (t.members)) AND (t.exceptions IS NULL OR p.id <> ALL (t.exceptions))
  ORDER BY t.id
$$;

-- Daily partitions, made ahead by the relay; what no partition takes lands in events_default and is not lost.
CREATE FUNCTION ensure_event_partitions(from_day date, days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
  day date;
  name text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('proofline.event_partitions'));
  FOR i IN 0..least(days, 60) - 1 LOOP
    day := from_day + i;
    name := 'events_' || to_char(day, 'YYYYMMDD');
    IF to_regclass('public.' || name) IS NULL
      AND NOT EXISTS (SELECT FROM events_default WHERE at >= day::timestamp AT TIME ZONE 'UTC' AND at < (day + 1)::timestamp AT TIME ZONE 'UTC') THEN
      EXECUTE format('CREATE TABLE public.%I PARTITION OF public.events FOR VALUES FROM (%L) TO (%L)', name, day::text || 'T00:00:00Z', (day + 1)::text || 'T00:00:00Z');
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END $$;

-- Row-level security -----------------------------------------------------------------------------------------------

DO $$
DECLARE
  secured text;
  own text;
BEGIN
  FOREACH secured IN ARRAY ARRAY['tenants', 'org_units', 'api_keys', 'submissions', 'proofs', 'submission_queue', 'seals', 'timeline', 'events', 'licence_grants',
    'licence_periods', 'licence_allocations', 'licence_consumptions', 'licence_queue', 'certificates', 'audit'] LOOP
    own := CASE secured WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', secured);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', secured);
    EXECUTE format('CREATE POLICY tenant ON %I TO proofline_api USING (%I = nullif(current_setting(''proofline.tenant'', true), '''')::uuid)', secured, own);
    EXECUTE format('CREATE POLICY worker ON %I TO proofline_worker USING (true) WITH CHECK (true)', secured);
    -- The SECURITY DEFINER functions above run as the owner.
    EXECUTE format('CREATE POLICY definer ON %I TO proofline_owner USING (true) WITH CHECK (true)', secured);
  END LOOP;
END $$;

-- Rights -----------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO proofline_api, proofline_intake, proofline_worker;

GRANT EXECUTE ON FUNCTION accept(jsonb) TO proofline_intake;

GRANT SELECT ON tenants, org_units, submissions, proofs, seals, timeline, licence_grants, licence_periods, licence_allocations, licence_consumptions,
  licence_queue, certificates TO proofline_api;
GRANT SELECT (id, tenant_id, org_unit_id, label, prefix, scopes, expires_at, revoked_at, last_used_at, created_at) ON api_keys TO proofline_api;
GRANT SELECT ON log_head, tiles, checkpoints, timestamps, anchors, published_keys, instance TO proofline_api;
GRANT SELECT (index, leaf) ON leaves TO proofline_api;
GRANT EXECUTE ON FUNCTION authenticate_key(bytea, timestamptz), read_bundle(uuid), public_verify(uuid), proof_timeline(uuid) TO proofline_api;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO proofline_worker;
REVOKE UPDATE, DELETE ON timeline, audit, leaves, tiles, licence_consumptions FROM proofline_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO proofline_worker;
GRANT EXECUTE ON FUNCTION ensure_event_partitions(date, integer), proof_timeline(uuid) TO proofline_worker;
