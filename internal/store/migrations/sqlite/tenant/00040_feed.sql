-- directory/feed: what has changed of people and groups, in the order in which it came
-- true, and the one row that says up to which number they are kept no more.
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

CREATE TABLE feed_floor (
    id    BIGINT PRIMARY KEY,
    floor BIGINT NOT NULL
);
