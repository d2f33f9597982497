-- From where a user has signed in: an IPv4 /24 or an IPv6 /64, as its number in 8 bytes.
CREATE TABLE known_networks (
    user_id BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network BLOB    NOT NULL CHECK (length(network) = 8),
    since   INTEGER NOT NULL,
    PRIMARY KEY (user_id, network)
) STRICT, WITHOUT ROWID;
