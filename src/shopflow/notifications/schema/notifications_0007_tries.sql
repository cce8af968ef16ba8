-- each notification counts its own retries
-- depends: notifications_0005_handlings

-- migrate: apply
ALTER TABLE deliveries ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;

COMMENT ON COLUMN deliveries.tries IS 'attempts that count, since it was recorded or replayed';

UPDATE deliveries SET tries = resends.tries FROM resends WHERE resends.notification_id = deliveries.notification_id;

COMMENT ON COLUMN resends.tries IS 'not read any more: see deliveries.tries';

-- migrate: rollback
COMMENT ON COLUMN resends.tries IS 'counted attempts that are over';
ALTER TABLE deliveries DROP COLUMN tries;
