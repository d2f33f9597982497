CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- NULL: the house, or a person that was forgotten.
    user_id uuid UNIQUE,
    -- The house has none: every transfer would wait for its row.
    balance bigint DEFAULT 0 CHECK (balance BETWEEN 0 AND 9007199254740991),
    made_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((id = 1) = (balance IS NULL))
);

INSERT INTO accounts (balance) VALUES (NULL);

CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CHECK (kind IN ('welcome', 'deposit', 'withdrawal', 'forgotten')),
    comment text NOT NULL,
    -- Of a welcome: points of one event are credited once.
    event_id uuid UNIQUE CHECK ((event_id IS NOT NULL) = (kind = 'welcome')),
    -- Who wanted it.
    by_user uuid
);

CREATE TABLE entries (
    account_id bigint NOT NULL REFERENCES accounts,
    transfer_id bigint NOT NULL REFERENCES transfers,
    points bigint NOT NULL CHECK (points <> 0),
    -- After it; not of the house.
    balance bigint CHECK (balance >= 0),
    PRIMARY KEY (account_id, transfer_id)
);

CREATE INDEX entries_by_transfer ON entries (transfer_id);

-- The last word: no transfer is committed that does not sum to zero.
CREATE FUNCTION transfer_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(points) FROM entries WHERE transfer_id = NEW.transfer_id) <> 0 THEN
        RAISE EXCEPTION 'transfer % does not sum to zero', NEW.transfer_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER entries_sum_to_zero AFTER INSERT OR UPDATE ON entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION transfer_sums_to_zero();

CREATE TABLE keys (
    by_user uuid NOT NULL,
    key text NOT NULL,
    user_id uuid NOT NULL,
    fingerprint text NOT NULL,
    -- The balance, or a negative number that says why not; NULL: under way.
    answer bigint,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (by_user, key)
);

CREATE INDEX keys_by_age ON keys (at);
CREATE INDEX keys_by_account ON keys (user_id);
