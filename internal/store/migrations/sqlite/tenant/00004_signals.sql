-- tenants: what a connection needs to hear of security events, sealed
ALTER TABLE connections ADD COLUMN signals_secret BLOB;

-- authn: which process asks a connection's transmitter for events. beats goes up
-- as long as it does; whoever sees it stand still may take over.
CREATE TABLE signal_polls (
    connection_id TEXT PRIMARY KEY,
    holder        TEXT NOT NULL,
    beats         BIGINT NOT NULL
);
