-- each entry of an order's history is sealed by a hash over the one before it
-- depends: orders_0002_idempotency_keys

-- migrate: apply
ALTER TABLE order_history ADD COLUMN hash BYTEA;

-- The same as `sealed` in orders/history.py, for the entries that are there already.
CREATE FUNCTION history_field(field text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce('\x01'::bytea || int4send(octet_length(convert_to(field, 'UTF8'))) || convert_to(field, 'UTF8'),
                    '\x00'::bytea)
$$;

CREATE FUNCTION history_seal(previous bytea, entry order_history) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(
        convert_to('shopflow order history 1', 'UTF8') || coalesce(previous, decode(repeat('00', 32), 'hex'))
        || history_field(entry.order_id::text) || history_field(entry.from_status) || history_field(entry.to_status)
        || history_field(entry.actor_id) || history_field(entry.actor_role) || history_field(entry.reason)
        || history_field(entry.trace_id)
        || history_field((extract(epoch FROM entry.at) * 1000000)::bigint::text)
    )
$$;

-- One state after the other, since each seal needs the one before; only inside this transaction rows may change.
ALTER TABLE order_history DISABLE TRIGGER order_history_append_only;

UPDATE order_history AS entry SET hash = history_seal(NULL, entry) WHERE to_status = 'pending';

UPDATE order_history AS entry
SET hash = history_seal((SELECT hash FROM order_history WHERE order_id = entry.order_id AND to_status = 'pending'), entry)
WHERE to_status = 'confirmed';

UPDATE order_history AS entry
SET hash = history_seal((SELECT hash FROM order_history WHERE order_id = entry.order_id AND to_status = 'confirmed'), entry)
WHERE to_status = 'shipped';

UPDATE order_history AS entry
SET hash = history_seal((SELECT hash FROM order_history WHERE order_id = entry.order_id AND to_status = 'shipped'), entry)
WHERE to_status = 'delivered';

-- ALWAYS: also in a session that plays a replica, where ordinary triggers are silent.
ALTER TABLE order_history ENABLE ALWAYS TRIGGER order_history_append_only;

DROP FUNCTION history_seal(bytea, order_history);
DROP FUNCTION history_field(text);

ALTER TABLE order_history
    ALTER COLUMN hash SET NOT NULL,
    ADD CONSTRAINT order_history_hash_is_sha256 CHECK (octet_length(hash) = 32);

-- migrate: rollback
ALTER TABLE order_history ENABLE TRIGGER order_history_append_only;
ALTER TABLE order_history DROP COLUMN hash;
