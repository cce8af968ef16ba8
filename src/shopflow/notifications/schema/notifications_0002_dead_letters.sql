-- messages that were put aside and what was done about them, and notifications that are sent again
-- depends: notifications_0001_initial

-- migrate: apply
CREATE TABLE dead_letters (
    id          UUID PRIMARY KEY,
    parked_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    state       TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    routing_key TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    digest      BYTEA NOT NULL,
    reason      TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    times       INTEGER NOT NULL DEFAULT 1,
    due_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    event_id    UUID,
    event_type  TEXT,
    order_id    UUID,
    user_id     UUID,
    headers     JSONB NOT NULL,
    body        BYTEA NOT NULL,
    CONSTRAINT dead_letters_message UNIQUE (routing_key, message_id, digest)
);

COMMENT ON COLUMN dead_letters.times IS 'how often this very message was parked; parked_at is the last time';
COMMENT ON COLUMN dead_letters.due_at IS 'from when on it may be replayed without an operator';
COMMENT ON COLUMN dead_letters.event_id IS 'as the body tells it, which may be wrong; so are the three below';

CREATE INDEX idx_dead_letters_parked_at ON dead_letters (parked_at DESC, id DESC);
CREATE INDEX idx_dead_letters_order_id ON dead_letters (order_id);
CREATE INDEX idx_dead_letters_open ON dead_letters (reason, due_at) WHERE state = 'open';

CREATE TABLE dead_letter_actions (
    id             UUID PRIMARY KEY,
    dead_letter_id UUID NOT NULL REFERENCES dead_letters (id) ON DELETE CASCADE,
    at             TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    action         TEXT NOT NULL CHECK (action IN ('replay', 'discard')),
    actor          TEXT NOT NULL,
    reason         TEXT,
    confirmed_at   TIMESTAMPTZ
);

COMMENT ON COLUMN dead_letter_actions.confirmed_at IS 'when the broker had the replayed message; null: it may not have it';

CREATE INDEX idx_dead_letter_actions_dead_letter_id ON dead_letter_actions (dead_letter_id, at);

-- Notifications that an operator sends again (R79); they belong to no event.
ALTER TABLE deliveries ALTER COLUMN event_id DROP NOT NULL;

CREATE TABLE resends (
    notification_id UUID PRIMARY KEY REFERENCES notifications (id) ON DELETE CASCADE,
    original_id     UUID NOT NULL,
    actor           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    at              TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    tries           INTEGER NOT NULL DEFAULT 0,
    due_at          TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON COLUMN resends.tries IS 'counted attempts that are over';
COMMENT ON COLUMN resends.due_at IS 'from when on somebody may try; infinity: nothing is left to do';

CREATE INDEX idx_resends_original_id ON resends (original_id);
CREATE INDEX idx_resends_due_at ON resends (due_at) WHERE due_at < 'infinity';

-- migrate: rollback
DROP TABLE resends;
DELETE FROM deliveries WHERE event_id IS NULL;
ALTER TABLE deliveries ALTER COLUMN event_id SET NOT NULL;
DROP TABLE dead_letter_actions;
DROP TABLE dead_letters;
