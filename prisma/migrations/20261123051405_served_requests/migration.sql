-- A request that was applied owes those who wait a drain; a run that is lost in between is started again.
ALTER TABLE licence_imports ADD COLUMN served_at timestamptz(6);
ALTER TABLE org_changes ADD COLUMN served_at timestamptz(6);
UPDATE licence_imports SET served_at = finished_at WHERE state = 'APPLIED';
UPDATE org_changes SET served_at = finished_at WHERE state = 'APPLIED';

CREATE INDEX licence_imports_open ON licence_imports (created_at) WHERE state = 'PENDING' OR (state = 'APPLIED' AND served_at IS NULL);
DROP INDEX org_changes_open;
CREATE INDEX org_changes_open ON org_changes (created_at) WHERE state = 'PENDING' OR (state = 'APPLIED' AND served_at IS NULL);
