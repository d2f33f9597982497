-- Until when what was swept had mattered: so that a revocation that was swept is not taken for one
-- that a failover has lost, and what it once did to its user is not done again. Written with the
-- sweep itself. A failover that loses a sweep loses this with it.
CREATE TABLE sweeps (
    kind  text        NOT NULL PRIMARY KEY CHECK (kind = 'revocations'),
    until timestamptz NOT NULL
);

-- What was swept before there was this table.
INSERT INTO sweeps (kind, until) VALUES ('revocations', now() - interval '1 minute');
