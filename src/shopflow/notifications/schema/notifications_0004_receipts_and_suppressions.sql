-- what providers report about messages, and whom nothing may be sent to
-- depends: notifications_0002_dead_letters

-- migrate: apply
ALTER TABLE attempts
    ADD COLUMN exhausted BOOLEAN NOT NULL DEFAULT false,
    DROP CONSTRAINT attempts_outcome_check,
    ADD CONSTRAINT attempts_outcome_check CHECK (outcome IN (
        'accepted', 'adopted', 'rejected', 'failed', 'misconfigured', 'in_doubt', 'suppressed', 'late'
    ));

COMMENT ON COLUMN attempts.exhausted IS 'with it the notification failed: what was in doubt until then is settled';

CREATE TABLE suppressions (
    channel   TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    recipient TEXT NOT NULL,
    cause     TEXT NOT NULL CHECK (cause IN ('bounce', 'complaint', 'stop')),
    since     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, recipient)
);

COMMENT ON TABLE suppressions IS 'whom nothing is sent to any more on a channel; without a row, everything is sent';

CREATE TABLE receipts (
    notification_id UUID NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    provider_ref    TEXT NOT NULL,
    state           TEXT NOT NULL,
    rank            SMALLINT NOT NULL,
    code            TEXT,
    reported_at     TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (notification_id, provider_ref)
);

COMMENT ON TABLE receipts IS 'what the provider said last of each message it accepted';
COMMENT ON COLUMN receipts.rank IS 'how far the state has come: a report of no higher rank is late or repeated';

CREATE INDEX idx_notifications_provider_ref ON notifications (provider_ref) WHERE provider_ref IS NOT NULL;

-- migrate: rollback
DROP INDEX idx_notifications_provider_ref;
DROP TABLE receipts;
DROP TABLE suppressions;
UPDATE attempts SET outcome = 'failed' WHERE outcome IN ('suppressed', 'late');
ALTER TABLE attempts
    DROP CONSTRAINT attempts_outcome_check,
    ADD CONSTRAINT attempts_outcome_check CHECK (outcome IN (
        'accepted', 'adopted', 'rejected', 'failed', 'misconfigured', 'in_doubt'
    )),
    DROP COLUMN exhausted;
