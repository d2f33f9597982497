-- The audit log: who did what to whom, from where, with which result. No foreign keys: a record
-- outlives what it tells of. Names of actions are not checked here, so that adding one needs no
-- migration.
CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    action     TEXT    NOT NULL CHECK (action <> ''),
    result     TEXT    NOT NULL CHECK (result IN ('success', 'refused')),
    actor      TEXT    NOT NULL CHECK (actor IN ('anonymous', 'user', 'operator', 'service', 'system')),
    actor_id   BLOB             CHECK (length(actor_id) = 16),
    actor_name TEXT             CHECK (actor_name <> ''),
    user_id    BLOB             CHECK (length(user_id) = 16),
    session_id BLOB             CHECK (length(session_id) = 16),
    address    TEXT,
    agent      TEXT,
    times      INTEGER NOT NULL CHECK (times >= 1),
    detail     TEXT             CHECK (length(detail) <= 200),
    CHECK ((actor = 'user') = (actor_id IS NOT NULL)),
    CHECK ((actor = 'service') = (actor_name IS NOT NULL))
) STRICT;

CREATE INDEX audit_of_user ON audit (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_actor ON audit (actor_id, sequence) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_at ON audit (at);

-- Ids of deleted users, which never come back. Kept for ever: there is nothing else in them.
CREATE TABLE deleted_users (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    deleted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For the janitor, for the deletion and for the export of a user. No column of these changes when
-- a session is refreshed.
CREATE INDEX sessions_expired ON sessions (expires_at);
CREATE INDEX sessions_ended ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE status = 'Success';
CREATE INDEX outbox_of_user ON outbox (user_id, sequence);
