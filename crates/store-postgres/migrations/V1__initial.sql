-- Whose database this is, and the lowest schema that a binary must know to serve it. A migration
-- raises min_version when it takes something away that older binaries use.
CREATE TABLE compatibility (
    only_row    boolean NOT NULL PRIMARY KEY CHECK (only_row),
    product     text    NOT NULL CHECK (product = 'sso'),
    min_version integer NOT NULL CHECK (min_version >= 1)
);

INSERT INTO compatibility (only_row, product, min_version) VALUES (true, 'sso', 1);

-- The timeline on which this server writes: asked of the server by each statement that stores it, so
-- that nobody can name one that is over.
CREATE FUNCTION current_timeline() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;

-- The version after this one: above all that a lost primary can have handed out.
CREATE FUNCTION next_version(version bigint) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    RETURN greatest(version + 1, current_timeline() << 32);

-- When a timeline was first met. The grace of a rotation starts anew with it: who lost an answer in
-- the failover is no thief. The timeline on which the database was made has no start.
CREATE TABLE timelines (
    timeline bigint      NOT NULL PRIMARY KEY CHECK (timeline >= 1),
    since    timestamptz NOT NULL DEFAULT now()
);

INSERT INTO timelines (timeline, since) VALUES (current_timeline(), '-infinity');

-- Ids are UUIDs of version 7.
CREATE TABLE users (
    id              uuid        NOT NULL PRIMARY KEY,
    email           text        NOT NULL CHECK (char_length(email) BETWEEN 1 AND 254),
    -- In "C" lower() folds ASCII only, which is what the canonical form is.
    email_canonical text COLLATE "C" NOT NULL CHECK (email_canonical = lower(email COLLATE "C")),
    email_verified  boolean     NOT NULL,
    password_hash   text        NOT NULL CHECK (password_hash <> ''),
    name            text                 CHECK (char_length(name) BETWEEN 1 AND 100),
    birthday        date,
    is_admin        boolean     NOT NULL,
    disabled        boolean     NOT NULL,
    version         bigint      NOT NULL CHECK (version >= 1),
    sessions_from   bigint      NOT NULL CHECK (sessions_from BETWEEN 0 AND version),
    created_at      timestamptz NOT NULL,
    CONSTRAINT users_email UNIQUE (email_canonical)
) WITH (fillfactor = 90);

-- Ids of deleted users, which never come back. Kept for ever: there is nothing else in them.
CREATE TABLE deleted_users (
    id         uuid        NOT NULL PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);

-- From where a user has signed in: an IPv4 /24 or an IPv6 /64, as its number.
CREATE TABLE known_networks (
    user_id uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network bigint      NOT NULL,
    since   timestamptz NOT NULL,
    PRIMARY KEY (user_id, network)
);

-- Room on each page, and no index on a column that a refresh touches (generation, rotated_at), nor
-- on one in a predicate: so a refresh writes no index (HOT).
CREATE TABLE sessions (
    id         uuid        NOT NULL PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id),
    version    bigint      NOT NULL CHECK (version >= 1),
    generation bigint      NOT NULL CHECK (generation >= 0),
    created_at timestamptz NOT NULL,
    rotated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    revoked_at timestamptz,
    address    inet,
    agent      text
) WITH (fillfactor = 80);

CREATE INDEX sessions_live_of_user ON sessions (user_id, created_at) WHERE revoked_at IS NULL;
-- For the deletion and the export of a user, and for the janitor.
CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_expired ON sessions (expires_at);
CREATE INDEX sessions_ended ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- An event outlives its user: it may tell of his end. Hence no foreign key. A user's events come in
-- the order of their sequence, because whoever stores one holds the lock of his row.
CREATE TABLE outbox (
    sequence     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid        NOT NULL CONSTRAINT outbox_id UNIQUE,
    user_id      uuid        NOT NULL,
    shard        smallint    NOT NULL CHECK (shard BETWEEN 0 AND 7),
    kind         text        NOT NULL CHECK (kind <> ''),
    payload      bytea       NOT NULL,
    status       text        NOT NULL CHECK (status IN ('inProgress', 'Success', 'Failed')),
    attempts     integer     NOT NULL CHECK (attempts >= 0),
    traceparent  text,
    tracestate   text,
    created_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    -- An event that was given up stays Failed, which is true, and holds back nothing any more.
    skipped_at   timestamptz,
    -- Its user is deleted: what it says of him goes with its delivery. In the row itself, so that a
    -- delivery that waits for the deletion sees it.
    forget       boolean     NOT NULL DEFAULT false,
    CHECK ((status = 'Success') = (delivered_at IS NOT NULL)),
    CHECK (skipped_at IS NULL OR status = 'Failed')
) WITH (fillfactor = 80);

CREATE INDEX outbox_in_progress ON outbox (sequence) WHERE status = 'inProgress';
CREATE INDEX outbox_in_progress_of_shard ON outbox (shard, sequence) WHERE status = 'inProgress';
CREATE INDEX outbox_holds_back ON outbox (user_id, sequence)
    WHERE status = 'Failed' AND skipped_at IS NULL;
-- For lists: few among many.
CREATE INDEX outbox_failed_in_order ON outbox (sequence) WHERE status = 'Failed';
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE status = 'Success';
CREATE INDEX outbox_of_user ON outbox (user_id, sequence);

-- Private parts are sealed under the master key.
CREATE TABLE keys (
    id         text COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    usage      text        NOT NULL CHECK (usage IN ('access', 'refresh')),
    algorithm  text        NOT NULL CHECK (algorithm <> ''),
    sealed     bytea       NOT NULL CHECK (octet_length(sealed) > 0),
    created_at timestamptz NOT NULL,
    signs_from timestamptz NOT NULL
);

-- Keys that sign and verify nothing any more, without their private parts.
CREATE TABLE retired_keys (
    id         text COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    usage      text        NOT NULL CHECK (usage IN ('access', 'refresh')),
    algorithm  text        NOT NULL CHECK (algorithm <> ''),
    created_at timestamptz NOT NULL,
    signs_from timestamptz NOT NULL,
    retired_at timestamptz NOT NULL
);

CREATE INDEX retired_keys_last ON retired_keys (retired_at, id);

-- What took access away. An id is the timeline in its upper bits and a number of the sequence below:
-- it rises, and none is used twice across a failover, so that what a failover lost can be written
-- back by its id. `effect` is what the same transaction did to the user: what writing back repeats.
CREATE SEQUENCE revocations_number AS bigint MAXVALUE 1099511627775;

CREATE TABLE revocations (
    id       bigint      NOT NULL PRIMARY KEY
                         DEFAULT (current_timeline() << 40) + nextval('revocations_number'),
    xid      xid8        NOT NULL DEFAULT pg_current_xact_id(),
    timeline bigint      NOT NULL DEFAULT current_timeline() CHECK (timeline >= 1),
    kind     text        NOT NULL CHECK (kind IN ('session', 'user', 'key')),
    subject  uuid        NOT NULL,
    version  bigint               CHECK (version >= 0),
    effect   text                 CHECK (effect IN ('password', 'disable', 'sessions', 'admin', 'delete')),
    until    timestamptz NOT NULL,
    CHECK ((kind = 'user') = (version IS NOT NULL))
);

ALTER SEQUENCE revocations_number OWNED BY revocations.id;

-- For the two probes of a beat: not visible in the snapshot that it names.
CREATE INDEX revocations_xid ON revocations (xid);
CREATE INDEX revocations_until ON revocations (until);

-- A row per serving process: the snapshot of the last answer that it obeys, on which timeline of
-- which system. '1:1:' is the snapshot in which nothing is visible.
CREATE TABLE readers (
    id            uuid        NOT NULL PRIMARY KEY,
    beat          bigint      NOT NULL DEFAULT 0 CHECK (beat >= 0),
    snapshot      pg_snapshot NOT NULL DEFAULT '1:1:',
    system        bigint      NOT NULL DEFAULT (pg_control_system()).system_identifier,
    timeline      bigint      NOT NULL DEFAULT current_timeline() CHECK (timeline >= 1),
    name          text        NOT NULL DEFAULT '',
    registered_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The longest life, in microseconds, that access tokens were ever given: a revocation matters for
-- that long.
CREATE TABLE token_lives (
    kind    text   NOT NULL PRIMARY KEY CHECK (kind = 'access'),
    longest bigint NOT NULL CHECK (longest > 0)
);

-- Who did what to whom, from where, with which result. No foreign keys: a record outlives what it
-- tells of. Names of actions are not checked here, so that adding one needs no migration.
CREATE TABLE audit (
    sequence   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    action     text        NOT NULL CHECK (action <> ''),
    result     text        NOT NULL CHECK (result IN ('success', 'refused')),
    actor      text        NOT NULL CHECK (actor IN ('anonymous', 'user', 'operator', 'service', 'system')),
    actor_id   uuid,
    actor_name text                 CHECK (actor_name <> ''),
    user_id    uuid,
    session_id uuid,
    address    inet,
    agent      text,
    times      bigint      NOT NULL CHECK (times >= 1),
    detail     text                 CHECK (char_length(detail) <= 200),
    CHECK ((actor = 'user') = (actor_id IS NOT NULL)),
    CHECK ((actor = 'service') = (actor_name IS NOT NULL))
);

CREATE INDEX audit_of_user ON audit (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_actor ON audit (actor_id, sequence) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_at ON audit (at);
