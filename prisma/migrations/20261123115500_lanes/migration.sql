-- Large submissions are found apart from the others of their tenant, so that neither waits behind the other.
-- The bound is `LONE_SUBMISSION` of domain/lane.ts.
ALTER TABLE submission_queue ADD COLUMN is_large boolean GENERATED ALWAYS AS (proof_count > 1000) STORED;
DROP INDEX submission_queue_order;
CREATE INDEX submission_queue_order ON submission_queue (anchor_policy, anchor_window, is_large, tenant_id, received_at, submission_id);

-- In which lane a batch travels (domain/lane.ts), and the tenants whose proofs make it a crowd; of a large submission, its tenant.
ALTER TABLE batches ADD COLUMN lane text NOT NULL DEFAULT 'prompt' CHECK (lane IN ('prompt', 'crowd', 'large'));
ALTER TABLE batches ADD COLUMN crowd uuid[] NOT NULL DEFAULT '{}';
UPDATE batches b SET lane = 'large', crowd = ARRAY[s.tenant_id] FROM submissions s
WHERE s.batch_id = b.id AND s.proof_count > 1000 AND b.state <> 'CLOSED';
CREATE INDEX batches_crowds ON batches (formed_at) WHERE crowd <> '{}';
