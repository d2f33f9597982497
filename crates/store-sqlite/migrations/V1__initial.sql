-- The lowest schema that a binary must know to serve this database. A migration raises it when it
-- takes something away that older binaries use.
CREATE TABLE compatibility (
    only_row    INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    min_version INTEGER NOT NULL CHECK (min_version >= 1)
) STRICT;

INSERT INTO compatibility (only_row, min_version) VALUES (1, 1);

-- Ids are UUIDs of version 7 in 16 bytes, times are microseconds since 1970 (UTC).
CREATE TABLE users (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email           TEXT    NOT NULL CHECK (length(email) BETWEEN 1 AND 254),
    -- lower() folds ASCII only, which is what the canonical form is.
    email_canonical TEXT    NOT NULL CHECK (email_canonical = lower(email)),
    email_verified  INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    password_hash   TEXT    NOT NULL CHECK (password_hash <> ''),
    name            TEXT             CHECK (length(name) BETWEEN 1 AND 100),
    birthday        TEXT             CHECK (birthday = date(birthday)),
    is_admin        INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    disabled        INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    version         INTEGER NOT NULL CHECK (version >= 1),
    sessions_from   INTEGER NOT NULL CHECK (sessions_from BETWEEN 0 AND version),
    created_at      INTEGER NOT NULL,
    CONSTRAINT users_email UNIQUE (email_canonical)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id    BLOB    NOT NULL REFERENCES users (id),
    version    INTEGER NOT NULL CHECK (version >= 1),
    generation INTEGER NOT NULL CHECK (generation >= 0),
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at),
    revoked_at INTEGER,
    address    TEXT,
    agent      TEXT
) STRICT, WITHOUT ROWID;

-- No column of it changes when a session is refreshed.
CREATE INDEX sessions_of_user ON sessions (user_id, created_at);

-- An event outlives its user: it may tell of his end. Hence no foreign key.
CREATE TABLE outbox (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    user_id      BLOB    NOT NULL CHECK (length(user_id) = 16),
    shard        INTEGER NOT NULL CHECK (shard BETWEEN 0 AND 7),
    kind         TEXT    NOT NULL CHECK (kind <> ''),
    payload      BLOB    NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('inProgress', 'Success', 'Failed')),
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    traceparent  TEXT,
    tracestate   TEXT,
    created_at   INTEGER NOT NULL,
    delivered_at INTEGER,
    CHECK ((status = 'Success') = (delivered_at IS NOT NULL))
) STRICT;

CREATE INDEX outbox_in_progress ON outbox (sequence) WHERE status = 'inProgress';
CREATE INDEX outbox_failed ON outbox (user_id, sequence) WHERE status = 'Failed';

-- Private parts are sealed under the master key.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    usage      TEXT    NOT NULL CHECK (usage IN ('access', 'refresh')),
    algorithm  TEXT    NOT NULL CHECK (algorithm <> ''),
    sealed     BLOB    NOT NULL CHECK (length(sealed) > 0),
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One writer and AUTOINCREMENT: entries become visible in the order of their ids.
CREATE TABLE revocations (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT    NOT NULL CHECK (kind IN ('session', 'user')),
    subject BLOB    NOT NULL CHECK (length(subject) = 16),
    version INTEGER          CHECK (version >= 0),
    until   INTEGER NOT NULL,
    CHECK ((kind = 'user') = (version IS NOT NULL))
) STRICT;

-- A row per serving process: up to which revocation it obeys.
CREATE TABLE readers (
    process INTEGER NOT NULL PRIMARY KEY,
    applied INTEGER NOT NULL CHECK (applied >= 0)
) STRICT;
