-- Which records of the topic are in the dead-letter topic, so that later ones of their keys follow
-- them. A key is a user's id.
CREATE TABLE parked (
    topic text NOT NULL,
    consumer_group text NOT NULL,
    partition integer NOT NULL,
    record bigint NOT NULL,
    key bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, consumer_group, partition, record)
);
