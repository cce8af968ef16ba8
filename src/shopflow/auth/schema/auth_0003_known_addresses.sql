-- the addresses that a user signed in from, where nobody else's failures keep the user waiting (A11)
-- depends: auth_0002_sessions_and_revocations

-- migrate: apply
-- `address` is a keyed hash: of no use to anybody who has the table only.
CREATE TABLE known_addresses (
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    last_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, address)
);

CREATE INDEX idx_known_addresses_last_at ON known_addresses (last_at);

-- migrate: rollback
DROP TABLE known_addresses;
