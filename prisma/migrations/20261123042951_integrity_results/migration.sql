-- What the nightly checks found: one row a check and run. Of no tenant; the workers alone write and read it.
CREATE TABLE integrity_results (
  check_name text NOT NULL CHECK (length(check_name) BETWEEN 1 AND 64),
  -- The time that was meant for the run.
  at timestamptz(6) NOT NULL,
  state text NOT NULL CHECK (state IN ('PASSED', 'FAILED', 'UNFINISHED')),
  checked bigint NOT NULL CHECK (checked >= 0),
  fault_count bigint NOT NULL CHECK (fault_count >= 0),
  -- The first of them, in words.
  faults jsonb NOT NULL,
  -- Why it did not get to its end.
  code text,
  finished_at timestamptz(6) NOT NULL,
  PRIMARY KEY (check_name, at),
  CHECK ((state = 'FAILED') = (fault_count > 0)),
  CHECK (state <> 'UNFINISHED' OR code IS NOT NULL)
);
GRANT SELECT, INSERT ON integrity_results TO proofline_worker;
