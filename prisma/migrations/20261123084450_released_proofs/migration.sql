-- Who was released lately, for the net under lost wakes (store/stalled-batches.ts). The state is not part of it: a proof's changes
-- of state would no longer be updates in place.
CREATE INDEX proofs_released ON proofs (released_at) WHERE released_at IS NOT NULL;
