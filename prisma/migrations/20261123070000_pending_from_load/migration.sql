-- How many proofs of the tenant in scope are under way: the sum that accept() refuses by, not a count of what waits.
CREATE OR REPLACE FUNCTION pending_proofs() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT coalesce(sum(l.pending), 0)::bigint FROM tenant_load l
  WHERE l.tenant_id = nullif(current_setting('proofline.tenant', true), '')::uuid
$$;
