-- what was answered to a POST that came with an Idempotency-Key, for a day
-- depends: orders_0001_initial

-- migrate: apply
CREATE TABLE idempotency_keys (
    user_id     UUID NOT NULL,
    route       TEXT NOT NULL,
    key         VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer      BYTEA NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, route, key)
);

COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of what the body meant';
COMMENT ON COLUMN idempotency_keys.answer IS 'the body of the 201, byte for byte';

CREATE INDEX idx_idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- migrate: rollback
DROP TABLE idempotency_keys;
