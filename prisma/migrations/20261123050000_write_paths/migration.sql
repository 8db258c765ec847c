-- What one batch writes, measured: of the updates that seal and move proofs only a quarter to three quarters stayed on
-- their page, the rest wrote every index again. Half a page free lets a whole page of rows be updated at once.
ALTER TABLE proofs SET (fillfactor = 50);
ALTER TABLE seals SET (fillfactor = 50);
-- A signed certificate is 3 KB of base64, which compression gains nothing on; it stays in its row instead of being
-- compressed, cut and indexed beside it. Its signing never fits on the draft's page.
ALTER TABLE certificates SET (fillfactor = 100, toast_tuple_target = 8160);
-- In the order in which drafts are signed, so that no chunk sorts what is left of its batch.
DROP INDEX certificates_unsigned;
CREATE INDEX certificates_unsigned ON certificates (batch_id, proof_id) WHERE jws IS NULL;
