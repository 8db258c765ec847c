-- Anchors of checkpoints in the registry contract: the optional second anchor, or the only one where no topic is written to.

CREATE TABLE contract_anchors (
  origin text NOT NULL,
  size bigint NOT NULL,
  -- Whether proofs rest on it: where no topic is written to.
  carries_proofs boolean NOT NULL,
  state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'PREPARED', 'SENT', 'CONSENSUS', 'CONFIRMED', 'VERIFIED', 'REJECTED', 'FAILED', 'EXPIRED', 'SUSPECT')),
  attempt integer NOT NULL DEFAULT 0,
  -- The ledger's part of the bundle's anchor entry, once VERIFIED.
  entry jsonb,
  failure jsonb,
  created_at timestamptz(6) NOT NULL,
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size),
  CHECK (state <> 'VERIFIED' OR attempt > 0)
);
CREATE INDEX contract_anchors_open ON contract_anchors (updated_at) WHERE state <> 'VERIFIED';

-- The signed bytes are here before they are first sent.
CREATE TABLE contract_attempts (
  origin text NOT NULL,
  size bigint NOT NULL,
  attempt integer NOT NULL CHECK (attempt > 0),
  state text NOT NULL CHECK (state IN ('PREPARED', 'SENT', 'CONSENSUS', 'CONFIRMED', 'VERIFIED', 'REJECTED', 'FAILED', 'EXPIRED', 'SUSPECT')),
  transaction_id text NOT NULL UNIQUE,
  prepared jsonb NOT NULL,
  signed_bytes bytea NOT NULL,
  receipt jsonb,
  confirmation jsonb,
  failure jsonb,
  created_at timestamptz(6) NOT NULL,
  updated_at timestamptz(6) NOT NULL,
  PRIMARY KEY (origin, size, attempt),
  FOREIGN KEY (origin, size) REFERENCES contract_anchors
);

GRANT SELECT ON contract_anchors TO proofline_api;
GRANT SELECT, INSERT, UPDATE ON contract_anchors, contract_attempts TO proofline_worker;
