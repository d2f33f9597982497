-- Whom somebody has forgotten: an event of such a user has no effect, whenever it comes. Kept for good.
CREATE TABLE forgotten (
    user_id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
