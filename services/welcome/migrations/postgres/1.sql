-- Which registrations have had their mail. No address, no name.
CREATE TABLE mails (
    event_id uuid PRIMARY KEY,
    -- NULL: forgotten.
    user_id uuid,
    -- The first time it was seen; its age counts from there.
    noted_at timestamptz NOT NULL DEFAULT now(),
    -- Who sends it, until when nobody else may.
    claimed_by uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    -- NULL: not yet.
    sent_at timestamptz
);

CREATE INDEX mails_by_age ON mails (noted_at);
CREATE INDEX mails_by_user ON mails (user_id) WHERE user_id IS NOT NULL;
