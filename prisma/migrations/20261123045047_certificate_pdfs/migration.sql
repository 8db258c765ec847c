-- Certificates as signed PDFs: how a tenant's look, which levels there are or are asked for, the files, and the work between.

ALTER TABLE tenants
  ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'fr')),
  -- {name?, colour?: "#rrggbb", logo?: base64 of a PNG or JPEG}; what is absent is the tenant's name and our colour.
  ADD COLUMN brand jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(brand::text) <= 24576),
  -- Render the PDF when the certificate is signed, without being asked.
  ADD COLUMN eager_pdf boolean NOT NULL DEFAULT false;
CREATE INDEX tenants_eager_pdf ON tenants (id) WHERE eager_pdf;

-- Files under their SHA-256. Never changed.
CREATE TABLE pdf_files (
  sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
  tenant_id uuid NOT NULL,
  bytes bytea NOT NULL CHECK (octet_length(bytes) <= 2097152),
  created_at timestamptz(6) NOT NULL
);

-- One row per proof and level, from its request on. B-LTA.2 and so on are renewals.
CREATE TABLE certificate_pdfs (
  proof_id uuid NOT NULL,
  level text NOT NULL CHECK (level ~ '^B-(T|LT|LTA(\.([2-9]|[1-9][0-9]{1,2}))?)$'),
  tenant_id uuid NOT NULL,
  requested_at timestamptz(6) NOT NULL,
  -- Its workflow is started from here on.
  due_at timestamptz(6) NOT NULL,
  started_at timestamptz(6),
  -- Put off by its own workflow, since revocation lists are not there yet: asking again does not hasten it.
  deferred_at timestamptz(6),
  -- Of B-T: the signer's certificates.
  chain bytea[],
  -- The first accepted token of this level; B-LT has none of its own.
  token bytea,
  tsa text,
  serial text,
  gen_time timestamptz(6),
  -- End of the authority's certificate.
  token_ends_at timestamptz(6),
  sha256 bytea REFERENCES pdf_files (sha256),
  size integer,
  stored_at timestamptz(6),
  PRIMARY KEY (proof_id, level),
  UNIQUE (tsa, serial),
  CHECK ((sha256 IS NULL) = (stored_at IS NULL) AND (sha256 IS NULL) = (size IS NULL)),
  CHECK ((token IS NULL) = (serial IS NULL) AND (token IS NULL) = (gen_time IS NULL))
);
CREATE INDEX certificate_pdfs_due ON certificate_pdfs (due_at) WHERE sha256 IS NULL AND started_at IS NULL;
CREATE INDEX certificate_pdfs_open ON certificate_pdfs (started_at, proof_id, level) WHERE sha256 IS NULL AND started_at IS NOT NULL;

-- A level under way: the prepared file, and the signature once there is one. Gone when the level is stored.
CREATE TABLE pdf_work (
  proof_id uuid NOT NULL,
  level text NOT NULL,
  tenant_id uuid NOT NULL,
  prepared bytea NOT NULL,
  slot_bytes integer NOT NULL CHECK (slot_bytes BETWEEN 1 AND 24576),
  -- What the token of this level covers: SHA-256 of the signature value, or of the file without its slot.
  imprint bytea NOT NULL CHECK (length(imprint) = 32),
  kid text,
  version integer,
  alg text CHECK (alg IN ('ES256', 'RS256', 'PS256')),
  attributes bytea,
  signature bytea,
  created_at timestamptz(6) NOT NULL,
  PRIMARY KEY (proof_id, level),
  FOREIGN KEY (proof_id, level) REFERENCES certificate_pdfs (proof_id, level)
);

-- Asks for a level of one of the tenant's own proofs and returns how it stands; no row if there is no certificate yet. A level
-- that waits for its time is asked for now.
CREATE FUNCTION request_certificate_pdf(p_proof uuid, p_level text, p_at timestamptz)
RETURNS TABLE (level text, sha256 bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := nullif(current_setting('proofline.tenant', true), '')::uuid;
BEGIN
  INSERT INTO certificate_pdfs AS p (proof_id, level, tenant_id, requested_at, due_at)
  SELECT c.proof_id, p_level, c.tenant_id, p_at, p_at FROM certificates c
  WHERE c.proof_id = p_proof AND c.tenant_id = v_tenant AND c.jws IS NOT NULL
  ON CONFLICT (proof_id, level) DO UPDATE SET due_at = excluded.due_at
    WHERE p.sha256 IS NULL AND p.started_at IS NULL AND p.deferred_at IS NULL AND p.due_at > excluded.due_at;
  IF FOUND THEN PERFORM pg_notify('proofline_pdf', ''); END IF;
  RETURN QUERY SELECT p.level, p.sha256 FROM certificate_pdfs p
    WHERE p.proof_id = p_proof AND p.level = p_level AND p.tenant_id = v_tenant;
END $$;

DO $$
DECLARE
  secured text;
BEGIN
  FOREACH secured IN ARRAY ARRAY['pdf_files', 'certificate_pdfs', 'pdf_work'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', secured);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', secured);
    EXECUTE format('CREATE POLICY tenant ON %I TO proofline_api USING (tenant_id = nullif(current_setting(''proofline.tenant'', true), '''')::uuid)', secured);
    EXECUTE format('CREATE POLICY worker ON %I TO proofline_worker USING (true) WITH CHECK (true)', secured);
    EXECUTE format('CREATE POLICY definer ON %I TO proofline_owner USING (true) WITH CHECK (true)', secured);
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION request_certificate_pdf(uuid, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_certificate_pdf(uuid, text, timestamptz) TO proofline_api;
GRANT SELECT ON pdf_files, certificate_pdfs TO proofline_api;
GRANT SELECT, INSERT ON pdf_files TO proofline_worker;
GRANT SELECT, INSERT, UPDATE ON certificate_pdfs TO proofline_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON pdf_work TO proofline_worker;
