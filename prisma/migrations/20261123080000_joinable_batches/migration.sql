-- Under load a batch stays open to joiners while it is being sealed, so that proofs are sealed within milliseconds of each other
-- while Temporal carries one workflow for all of them.

-- Until when proofs may join; null: its members are final. Never set again once null.
ALTER TABLE batches ADD COLUMN joinable_until timestamptz(6);
