-- where a session was used last, when it can be forgotten, and from when on service tokens hold
-- depends: auth_0001_initial

-- migrate: apply
ALTER TABLE refresh_families ADD COLUMN address TEXT, ADD COLUMN user_agent VARCHAR(255);

CREATE INDEX idx_refresh_families_ends_at ON refresh_families (ends_at);

-- Service tokens of this name that were issued before that instant are refused (R7).
CREATE TABLE service_token_revocations (
    name          VARCHAR(50) PRIMARY KEY,
    issued_before TIMESTAMPTZ NOT NULL,
    revoked_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    by            TEXT NOT NULL
);

-- migrate: rollback
DROP TABLE service_token_revocations;
DROP INDEX idx_refresh_families_ends_at;
ALTER TABLE refresh_families DROP COLUMN address, DROP COLUMN user_agent;
