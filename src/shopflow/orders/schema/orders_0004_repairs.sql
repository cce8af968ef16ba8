-- which events were announced again, why and by whom
-- depends: orders_0003_history_chain

-- migrate: apply
CREATE TABLE repairs (
    id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    order_id   UUID NOT NULL,
    event_id   UUID NOT NULL,
    event_type TEXT NOT NULL,
    cause      TEXT NOT NULL,
    actor      TEXT NOT NULL
);

COMMENT ON COLUMN repairs.cause IS 'what was found to be wrong';

CREATE INDEX idx_repairs_order_id ON repairs (order_id);

-- migrate: rollback
DROP TABLE repairs;
