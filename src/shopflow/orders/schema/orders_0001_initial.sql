-- the orders table of PRD 9.2, the history of every transition, and the outbox
-- depends:

-- migrate: apply
CREATE TABLE orders (
    id               UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id          UUID NOT NULL,
    status           VARCHAR(20) NOT NULL DEFAULT 'pending'
                       CHECK (status IN ('pending', 'confirmed', 'shipped', 'delivered')),
    items            JSONB NOT NULL,
    shipping_address JSONB NOT NULL,
    total_amount     DECIMAL(10, 2) NOT NULL,
    currency         VARCHAR(3) NOT NULL DEFAULT 'USD',
    notes            VARCHAR(500),
    confirmed_at     TIMESTAMPTZ,
    shipped_at       TIMESTAMPTZ,
    delivered_at     TIMESTAMPTZ,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT orders_stamps_match_status CHECK (
        (confirmed_at IS NOT NULL) = (status IN ('confirmed', 'shipped', 'delivered'))
        AND (shipped_at IS NOT NULL) = (status IN ('shipped', 'delivered'))
        AND (delivered_at IS NOT NULL) = (status = 'delivered')
    )
);

CREATE INDEX idx_orders_user_id ON orders (user_id);
CREATE INDEX idx_orders_status ON orders (status);
CREATE INDEX idx_orders_created_at ON orders (created_at);
CREATE INDEX idx_orders_user_status ON orders (user_id, status);

-- An order comes to each state once, which the primary key holds.
-- No foreign key: rows are written only by the statement that writes the order, and a check per insert costs.
CREATE TABLE order_history (
    order_id    UUID NOT NULL,
    from_status VARCHAR(20),
    to_status   VARCHAR(20) NOT NULL,
    actor_id    TEXT NOT NULL,
    actor_role  VARCHAR(20) NOT NULL,
    reason      VARCHAR(500),
    trace_id    TEXT,
    at          TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (order_id, to_status),
    CONSTRAINT order_history_follows_the_state_machine CHECK (
        (to_status = 'pending' AND from_status IS NULL)
        OR (to_status = 'confirmed' AND from_status IS NOT DISTINCT FROM 'pending')
        OR (to_status = 'shipped' AND from_status IS NOT DISTINCT FROM 'confirmed')
        OR (to_status = 'delivered' AND from_status IS NOT DISTINCT FROM 'shipped')
    )
);

CREATE FUNCTION order_history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order_history is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER order_history_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON order_history
    FOR EACH STATEMENT EXECUTE FUNCTION order_history_is_append_only();

CREATE TABLE outbox (
    event_id      UUID PRIMARY KEY,
    position      BIGINT GENERATED ALWAYS AS IDENTITY,
    subject_id    UUID NOT NULL,
    routing_key   TEXT NOT NULL,
    body          BYTEA NOT NULL,
    headers       JSONB NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    claimed_by    UUID,
    claimed_until TIMESTAMPTZ,
    attempts      INTEGER NOT NULL DEFAULT 0,
    published_at  TIMESTAMPTZ
);

CREATE INDEX idx_outbox_unpublished ON outbox (position) WHERE published_at IS NULL;
CREATE INDEX idx_outbox_unpublished_subject ON outbox (subject_id, position) WHERE published_at IS NULL;
CREATE INDEX idx_outbox_published_at ON outbox (published_at) WHERE published_at IS NOT NULL;

-- migrate: rollback
DROP TABLE outbox;
DROP TABLE order_history;
DROP FUNCTION order_history_is_append_only;
DROP TABLE orders;
