-- Which records of the topic are in the dead-letter topic, so that later ones of their keys follow
-- them. A key is a user's id.
CREATE TABLE parked (
    topic TEXT NOT NULL,
    consumer_group TEXT NOT NULL,
    partition INTEGER NOT NULL,
    record INTEGER NOT NULL,
    key BLOB NOT NULL,
    -- Unix seconds.
    at INTEGER NOT NULL,
    PRIMARY KEY (topic, consumer_group, partition, record)
) STRICT, WITHOUT ROWID;
