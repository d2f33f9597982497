-- Whom somebody has forgotten: an event of such a user has no effect, whenever it comes. Kept for good.
CREATE TABLE forgotten (
    user_id BLOB PRIMARY KEY,
    -- Unix seconds.
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
