-- The members of a batch in the order in which their statements are frozen, so that a chunk of them is read without the rest.
-- A submission without a batch is in no such order: it need not be in the index.
DROP INDEX submissions_batch;
CREATE INDEX submissions_batch ON submissions (batch_id, received_at, id) WHERE batch_id IS NOT NULL;
DROP INDEX proofs_batch;
CREATE INDEX proofs_batch ON proofs (batch_id, received_at, submission_id, ordinal) WHERE batch_id IS NOT NULL;
