-- events whose notifications are not all final, with the bytes that bring them back when every copy is lost
-- depends: notifications_0005_handlings

-- migrate: apply
CREATE TABLE unfinished (
    event_id   UUID PRIMARY KEY REFERENCES inbox (event_id) ON DELETE CASCADE,
    message_id TEXT NOT NULL,
    headers    JSONB NOT NULL,
    body       BYTEA NOT NULL,
    since      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    touched_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    copy       INTEGER NOT NULL DEFAULT 0,
    copies     INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT unfinished_copy_was_made CHECK (copy BETWEEN 0 AND copies)
);

CREATE INDEX idx_unfinished_since ON unfinished (since);

COMMENT ON TABLE unfinished IS 'removed once every notification of the event is sent or has failed';
COMMENT ON COLUMN unfinished.touched_at IS 'when a copy of the message was here last, or was made';
COMMENT ON COLUMN unfinished.copies IS 'how many copies were made beside the one from the exchange, each with a number';
COMMENT ON COLUMN unfinished.copy IS 'the newest that was here: an older one that would have to wait is dropped';

-- migrate: rollback
DROP TABLE unfinished;
