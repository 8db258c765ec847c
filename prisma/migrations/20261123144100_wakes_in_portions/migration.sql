-- A batch was told that its evidence is complete, and has not looked yet. So many may be at a time (store/wake-batches.ts).
ALTER TABLE batches ADD COLUMN is_woken boolean NOT NULL DEFAULT false;
CREATE INDEX batches_woken ON batches (evidence_complete_at) WHERE is_woken;
