-- unixepoch is the server's clock, under the name and in the form of SQLite's.
CREATE FUNCTION unixepoch(form TEXT) RETURNS DOUBLE PRECISION LANGUAGE sql AS $$ SELECT extract(epoch FROM clock_timestamp()) $$;

-- what the nodes agree on: a single row
CREATE TABLE cluster_epoch (
    one    BIGINT PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    number BIGINT NOT NULL DEFAULT 0,
    server TEXT COLLATE "C" NOT NULL DEFAULT '',
    outbox BIGINT NOT NULL DEFAULT 0 -- the last position that was given
);
CALL apart('cluster_epoch');

-- messages among nodes that could not go through Redis
CREATE TABLE cluster_outbox (
    position BIGINT PRIMARY KEY,
    id       TEXT COLLATE "C" NOT NULL,
    topic    TEXT COLLATE "C" NOT NULL,
    tenant   TEXT COLLATE "C" NOT NULL,
    body     BYTEA NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX cluster_outbox_at ON cluster_outbox (at);
CALL apart('cluster_outbox');

-- the nodes that ask SQL and not Redis
CREATE TABLE cluster_apart (
    node  TEXT COLLATE "C" PRIMARY KEY,
    until BIGINT NOT NULL
);
CALL apart('cluster_apart');
