-- The longest life, in microseconds, that access tokens were ever given: a revocation matters for that long.
CREATE TABLE token_lives (
    kind    TEXT    NOT NULL PRIMARY KEY CHECK (kind = 'access'),
    longest INTEGER NOT NULL CHECK (longest > 0)
) STRICT, WITHOUT ROWID;
