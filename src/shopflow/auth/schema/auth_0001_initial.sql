-- the users of PRD 9.1, their sessions, and what ends a token early
-- depends:

-- migrate: apply
CREATE TABLE users (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email         VARCHAR(255) NOT NULL UNIQUE,
    password_hash VARCHAR(255) NOT NULL,
    first_name    VARCHAR(100) NOT NULL,
    last_name     VARCHAR(100) NOT NULL,
    phone         VARCHAR(20),
    role          VARCHAR(20) NOT NULL DEFAULT 'customer'
                    CHECK (role IN ('customer', 'admin')),
    is_active     BOOLEAN NOT NULL DEFAULT true,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_created_at ON users (created_at);

-- One row a sign-in: the session, to whom all its refresh tokens belong (A1).
CREATE TABLE refresh_families (
    id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ends_at    TIMESTAMPTZ NOT NULL CHECK (ends_at > started_at),
    ended_at   TIMESTAMPTZ,
    ended_by   VARCHAR(20),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);

CREATE INDEX idx_refresh_families_user_id ON refresh_families (user_id) WHERE ended_at IS NULL;

-- One row a refresh token; its text is signed again from the row, never stored (A1).
CREATE TABLE refresh_tokens (
    family_id     UUID NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    sequence      INTEGER NOT NULL CHECK (sequence >= 1),
    jti           UUID NOT NULL,
    issued_at     TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    first_used_at TIMESTAMPTZ,
    PRIMARY KEY (family_id, sequence)
);

-- Until when a user's access tokens were ended before their time: those issued in that second or earlier (R76).
CREATE TABLE not_before (
    user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    at      TIMESTAMPTZ NOT NULL
);

-- Since when a deactivated user is that, and by whom (R25).
CREATE TABLE deactivations (
    user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    by      TEXT NOT NULL,
    reason  VARCHAR(500)
);

CREATE INDEX idx_deactivations_at ON deactivations (at);

-- migrate: rollback
DROP TABLE deactivations, not_before, refresh_tokens, refresh_families, users;
