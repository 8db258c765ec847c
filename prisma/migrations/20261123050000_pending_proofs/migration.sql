-- How many proofs of the tenant in scope wait for their end: in the queue, or in an open batch. Costs as much as there
-- is waiting, never as much as there is history.
CREATE FUNCTION pending_proofs() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT coalesce((SELECT sum(q.proof_count) FROM submission_queue q WHERE q.tenant_id = own.id), 0)::bigint
    + (SELECT count(*) FROM batches b JOIN submissions s ON s.batch_id = b.id JOIN proofs p ON p.submission_id = s.id
       WHERE b.state <> 'CLOSED' AND s.tenant_id = own.id
         AND p.state IN ('RECEIVED', 'SEALED', 'TIMESTAMPED', 'ANCHORED', 'AWAITING_LICENSE'))
  FROM (SELECT nullif(current_setting('proofline.tenant', true), '')::uuid AS id) own
$$;

REVOKE ALL ON FUNCTION pending_proofs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pending_proofs() TO proofline_api;
