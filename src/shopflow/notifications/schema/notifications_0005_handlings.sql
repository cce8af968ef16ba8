-- which messages were begun and never ended: one that kills the process is parked in the end
-- depends: notifications_0004_receipts_and_suppressions

-- migrate: apply
CREATE TABLE handlings (
    message       BYTEA PRIMARY KEY,
    begun         INTEGER NOT NULL CHECK (begun > 0),
    last_begun_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

COMMENT ON TABLE handlings IS 'messages delivered again and not dealt with yet; none while all is well';
COMMENT ON COLUMN handlings.message IS 'SHA-256 over queue, message id and body';
COMMENT ON COLUMN handlings.begun IS 'how often since the last verdict';

-- migrate: rollback
DROP TABLE handlings;
