-- An event that was given up stays Failed, which is true, and holds back nothing any more.
ALTER TABLE outbox ADD COLUMN skipped_at INTEGER CHECK (skipped_at IS NULL OR status = 'Failed');

DROP INDEX outbox_failed;
CREATE INDEX outbox_holds_back ON outbox (user_id, sequence)
    WHERE status = 'Failed' AND skipped_at IS NULL;
-- For lists: few among many.
CREATE INDEX outbox_failed_in_order ON outbox (sequence) WHERE status = 'Failed';
