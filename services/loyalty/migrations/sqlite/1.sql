CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    -- NULL: the house, or a person that was forgotten.
    user_id BLOB UNIQUE,
    -- The house has none.
    balance INTEGER DEFAULT 0 CHECK (balance BETWEEN 0 AND 9007199254740991),
    CHECK ((id = 1) = (balance IS NULL))
) STRICT;

INSERT INTO accounts (id, balance) VALUES (1, NULL);

CREATE TABLE transfers (
    -- Never used again, so that a line's id says when it came.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Unix microseconds, like all times here.
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('welcome', 'deposit', 'withdrawal', 'forgotten')),
    comment TEXT NOT NULL,
    -- Of a welcome: points of one event are credited once.
    event_id BLOB UNIQUE CHECK ((event_id IS NOT NULL) = (kind = 'welcome')),
    -- Who wanted it.
    by_user BLOB
) STRICT;

CREATE TABLE entries (
    account_id INTEGER NOT NULL REFERENCES accounts,
    transfer_id INTEGER NOT NULL REFERENCES transfers,
    points INTEGER NOT NULL CHECK (points <> 0),
    -- After it; not of the house.
    balance INTEGER CHECK (balance >= 0),
    PRIMARY KEY (account_id, transfer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    by_user BLOB NOT NULL,
    key TEXT NOT NULL,
    user_id BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    -- The balance, or a negative number that says why not.
    answer INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (by_user, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_age ON keys (at);
CREATE INDEX keys_by_account ON keys (user_id);
