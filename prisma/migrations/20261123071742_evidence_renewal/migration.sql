-- Evidence that outlives certificates, keys and hashes (RFC 4998): tokens over trees of older tokens, and over statements.

ALTER TABLE timestamps
  -- End of the authority's certificate; null where it was not read at acceptance, which counts as due.
  ADD COLUMN ends_at timestamptz(6),
  -- When a later token took the protection over.
  ADD COLUMN renewed_at timestamptz(6);
CREATE INDEX timestamps_to_renew ON timestamps (ends_at NULLS FIRST) WHERE renewed_at IS NULL;

CREATE TABLE archive_tokens (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- renewal: over tokens; direct: over statements with their seals.
  kind text NOT NULL CHECK (kind IN ('renewal', 'direct')),
  -- Of the tree below the token. Another one than that of what it renews: a hash-tree renewal.
  hash text NOT NULL CHECK (hash IN ('SHA-256', 'SHA-384', 'SHA-512')),
  tsa text NOT NULL,
  token bytea NOT NULL,
  token_sha256 bytea NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
  gen_time timestamptz(6) NOT NULL,
  serial text NOT NULL,
  policy text NOT NULL,
  crls bytea[] NOT NULL DEFAULT '{}',
  self_operated boolean NOT NULL,
  accepted_at timestamptz(6) NOT NULL,
  ends_at timestamptz(6) NOT NULL,
  renewed_at timestamptz(6),
  UNIQUE (tsa, serial)
);
CREATE INDEX archive_tokens_to_renew ON archive_tokens (ends_at) WHERE renewed_at IS NULL;

-- What a token covers, each with its way up the tree. Append-only.
CREATE TABLE archive_members (
  -- SHA-256 of the token that is renewed; the leaf data of a statement that is recorded directly.
  member bytea PRIMARY KEY CHECK (length(member) = 32),
  token_id bigint NOT NULL REFERENCES archive_tokens (id),
  -- Hashes put together, from the leaf up.
  path bytea NOT NULL
);

-- Renewals that something other than the schedule asked for.
CREATE TABLE evidence_renewals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reason text NOT NULL CHECK (reason IN ('KEY_COMPROMISED', 'TSA_WEAK', 'HASH_WEAK')),
  -- kid@version, the name of an authority, or a hash function.
  subject text NOT NULL,
  requested_at timestamptz(6) NOT NULL,
  completed_at timestamptz(6),
  renewed integer
);
CREATE UNIQUE INDEX evidence_renewals_open ON evidence_renewals (reason, subject) WHERE completed_at IS NULL;

-- Evidence records over the tenant's statements themselves, from the switch on.
ALTER TABLE tenants ADD COLUMN direct_records boolean NOT NULL DEFAULT false;
CREATE INDEX tenants_direct_records ON tenants (id) WHERE direct_records;
-- Leaves below this size that are to be recorded directly are.
ALTER TABLE log_progress ADD COLUMN recorded_size bigint NOT NULL DEFAULT 0;
UPDATE log_progress SET recorded_size = timestamped_size;

GRANT SELECT ON archive_tokens, archive_members TO proofline_api;
GRANT SELECT, INSERT, UPDATE ON archive_tokens, evidence_renewals TO proofline_worker;
GRANT SELECT, INSERT ON archive_members TO proofline_worker;
