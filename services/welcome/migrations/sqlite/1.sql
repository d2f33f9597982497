-- Which registrations have had their mail. No address, no name.
CREATE TABLE mails (
    event_id BLOB PRIMARY KEY,
    -- NULL: forgotten.
    user_id BLOB,
    -- The first time it was seen; its age counts from there. Unix seconds, like all times here.
    noted_at INTEGER NOT NULL,
    -- Who sends it, until when nobody else may.
    claimed_by BLOB NOT NULL,
    claimed_until INTEGER NOT NULL,
    -- NULL: not yet.
    sent_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX mails_by_age ON mails (noted_at);
CREATE INDEX mails_by_user ON mails (user_id) WHERE user_id IS NOT NULL;
