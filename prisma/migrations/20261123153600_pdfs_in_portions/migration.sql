-- Since when somebody waits for a level: it goes before those that are due by themselves, of which there may be a hundred
-- thousand (store/start-due-levels.ts).
ALTER TABLE certificate_pdfs ADD COLUMN asked_at timestamptz(6);
CREATE INDEX certificate_pdfs_asked ON certificate_pdfs (due_at) WHERE sha256 IS NULL AND started_at IS NULL AND asked_at IS NOT NULL;

CREATE OR REPLACE FUNCTION request_certificate_pdf(p_proof uuid, p_level text, p_at timestamptz)
RETURNS TABLE (level text, sha256 bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := nullif(current_setting('proofline.tenant', true), '')::uuid;
BEGIN
  INSERT INTO certificate_pdfs AS p (proof_id, level, tenant_id, requested_at, due_at, asked_at)
  SELECT c.proof_id, p_level, c.tenant_id, p_at, p_at, p_at FROM certificates c
  WHERE c.proof_id = p_proof AND c.tenant_id = v_tenant AND c.signature IS NOT NULL
  ON CONFLICT (proof_id, level) DO UPDATE SET due_at = least(p.due_at, excluded.due_at), asked_at = coalesce(p.asked_at, excluded.asked_at)
    WHERE p.sha256 IS NULL AND p.started_at IS NULL AND p.deferred_at IS NULL AND (p.asked_at IS NULL OR p.due_at > excluded.due_at);
  IF FOUND THEN PERFORM pg_notify('proofline_pdf', ''); END IF;
  RETURN QUERY SELECT p.level, p.sha256 FROM certificate_pdfs p
    WHERE p.proof_id = p_proof AND p.level = p_level AND p.tenant_id = v_tenant;
END $$;
