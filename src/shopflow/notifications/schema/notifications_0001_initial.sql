-- the notifications of PRD 9.3, and what notification-service keeps beside them
-- depends:

-- migrate: apply
CREATE TABLE notifications (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       UUID NOT NULL,
    order_id      UUID,
    channel       VARCHAR(10) NOT NULL CHECK (channel IN ('email', 'sms')),
    type          VARCHAR(100) NOT NULL,
    recipient     VARCHAR(255) NOT NULL,
    subject       VARCHAR(255),
    body          TEXT NOT NULL,
    status        VARCHAR(10) NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'sent', 'failed')),
    provider_ref  VARCHAR(255),
    error_message VARCHAR(1000),
    sent_at       TIMESTAMPTZ,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT notifications_sent_has_proof
        CHECK (status <> 'sent' OR (provider_ref IS NOT NULL AND sent_at IS NOT NULL))
);

CREATE INDEX idx_notifications_user_id ON notifications (user_id);
CREATE INDEX idx_notifications_order_id ON notifications (order_id);
CREATE INDEX idx_notifications_status ON notifications (status);
CREATE INDEX idx_notifications_created_at ON notifications (created_at);
CREATE INDEX idx_notifications_user_created ON notifications (user_id, created_at DESC, id DESC);

CREATE TABLE inbox (
    event_id    UUID PRIMARY KEY,
    event_type  TEXT NOT NULL,
    order_id    UUID NOT NULL,
    user_id     UUID NOT NULL,
    digest      BYTEA NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('notified', 'no_recipient')),
    received_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX idx_inbox_order_id ON inbox (order_id);

CREATE TABLE deliveries (
    notification_id UUID PRIMARY KEY REFERENCES notifications (id) ON DELETE CASCADE,
    event_id        UUID NOT NULL REFERENCES inbox (event_id) ON DELETE CASCADE,
    text            TEXT,
    attempt_id      UUID,
    free_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    exhausted       BOOLEAN NOT NULL DEFAULT false
);

COMMENT ON COLUMN deliveries.attempt_id IS 'the latest attempt: only that one may move the notification';
COMMENT ON COLUMN deliveries.free_at IS 'from when on somebody may try; infinity: nothing is left to do';
COMMENT ON COLUMN deliveries.exhausted IS 'failed on the last retry, so that the event is parked';

CREATE INDEX idx_deliveries_event_id ON deliveries (event_id);

CREATE TABLE attempts (
    id              UUID PRIMARY KEY,
    notification_id UUID NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    last            BOOLEAN NOT NULL,
    started_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    ended_at        TIMESTAMPTZ,
    outcome         TEXT
                      CHECK (outcome IN ('accepted', 'adopted', 'rejected', 'failed', 'misconfigured', 'in_doubt')),
    code            TEXT,
    provider_ref    TEXT,
    reason          TEXT
);

COMMENT ON COLUMN attempts.last IS 'no retry was left';
COMMENT ON COLUMN attempts.outcome IS 'null while it runs, and for good when the process died: in doubt';

CREATE INDEX idx_attempts_notification_id ON attempts (notification_id);

-- migrate: rollback
DROP TABLE attempts;
DROP TABLE deliveries;
DROP TABLE inbox;
DROP TABLE notifications;
