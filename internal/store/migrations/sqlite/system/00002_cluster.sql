-- what the nodes agree on: a single row
CREATE TABLE cluster_epoch (
    one    BIGINT PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    number BIGINT NOT NULL DEFAULT 0,
    server TEXT NOT NULL DEFAULT '',
    outbox BIGINT NOT NULL DEFAULT 0 -- the last position that was given
);

-- messages among nodes that could not go through Redis
CREATE TABLE cluster_outbox (
    position BIGINT PRIMARY KEY,
    id       TEXT NOT NULL,
    topic    TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    body     BLOB NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX cluster_outbox_at ON cluster_outbox (at);

-- the nodes that ask SQL and not Redis
CREATE TABLE cluster_apart (
    node  TEXT PRIMARY KEY,
    until BIGINT NOT NULL
);
