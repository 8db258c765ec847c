-- A batch was told to look at what came for it, and has not yet. So many are at a time (store/wake-batches.ts).
ALTER TABLE batches ADD COLUMN is_woken boolean NOT NULL DEFAULT false;
CREATE INDEX batches_woken ON batches (evidence_complete_at) WHERE is_woken;
CREATE INDEX batches_armed ON batches (lane, sealed_at, id) WHERE state = 'SEALED' AND evidence_complete_at IS NULL;

-- Batches of which members got the licence that they waited for, or were decided on by a filter: they are told in their turn.
-- Without references and unique keys, so that whoever owes it waits for nobody here; a batch that is named twice is told once.
CREATE TABLE batch_wakes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  batch_id uuid NOT NULL,
  lane text NOT NULL,
  -- Of the signal.
  name text NOT NULL,
  created_at timestamptz(6) NOT NULL
);
CREATE INDEX batch_wakes_turn ON batch_wakes (lane, id);
GRANT SELECT, INSERT, DELETE ON batch_wakes TO proofline_worker;
