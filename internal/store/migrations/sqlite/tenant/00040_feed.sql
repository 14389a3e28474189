-- directory/feed: what has changed of people and groups, in the order in which it came
-- true, and the one row that says how far that goes: last is the number that was given
-- last, and what is up to floor is kept no more.
CREATE TABLE feed_changes (
    seq         BIGINT PRIMARY KEY,
    type        TEXT NOT NULL,
    target_id   TEXT NOT NULL,
    version     BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    event_id    TEXT NOT NULL,
    name        TEXT NOT NULL,
    external_id TEXT NOT NULL,
    members     TEXT NOT NULL
);

CREATE TABLE feed_head (
    id    BIGINT PRIMARY KEY,
    last  BIGINT NOT NULL,
    floor BIGINT NOT NULL
);
