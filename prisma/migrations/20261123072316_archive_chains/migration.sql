-- A chain goes on under each hash function of its own (RFC 4998 §5.2), and a hash-tree renewal covers a chain as it was.

ALTER TABLE archive_members
  ADD COLUMN hash text NOT NULL DEFAULT 'SHA-256' CHECK (hash IN ('SHA-256', 'SHA-384', 'SHA-512')),
  -- Of a hash-tree renewal: how many tokens of the chain, the first one counted, it is over.
  ADD COLUMN covers integer,
  DROP CONSTRAINT archive_members_pkey,
  ADD PRIMARY KEY (member, hash);
ALTER TABLE archive_members ALTER COLUMN hash DROP DEFAULT;

CREATE INDEX timestamps_token ON timestamps (token_sha256);
