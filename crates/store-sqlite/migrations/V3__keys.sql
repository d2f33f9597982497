-- Keys that sign and verify nothing any more, without their private parts. They leave `keys`, so
-- that nothing that reads the ring can believe them.
CREATE TABLE retired_keys (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    usage      TEXT    NOT NULL CHECK (usage IN ('access', 'refresh')),
    algorithm  TEXT    NOT NULL CHECK (algorithm <> ''),
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    retired_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX retired_keys_last ON retired_keys (retired_at, id);

-- The end of a key is told like any other, with its tag as the subject. SQLite changes no CHECK, so
-- the table is made anew; its ids go on where they were.
CREATE TABLE revocations_3 (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT    NOT NULL CHECK (kind IN ('session', 'user', 'key')),
    subject BLOB    NOT NULL CHECK (length(subject) = 16),
    version INTEGER          CHECK (version >= 0),
    until   INTEGER NOT NULL,
    CHECK ((kind = 'user') = (version IS NOT NULL))
) STRICT;

INSERT INTO revocations_3 (id, kind, subject, version, until)
SELECT id, kind, subject, version, until FROM revocations;

DELETE FROM sqlite_sequence WHERE name = 'revocations_3';

INSERT INTO sqlite_sequence (name, seq)
SELECT 'revocations_3', seq FROM sqlite_sequence WHERE name = 'revocations';

DROP TABLE revocations;

ALTER TABLE revocations_3 RENAME TO revocations;

-- An older binary cannot read the new kind.
UPDATE compatibility SET min_version = max(min_version, 3);
