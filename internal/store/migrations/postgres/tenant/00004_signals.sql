-- tenants: what a connection needs to hear of security events, sealed
ALTER TABLE connections ADD COLUMN signals_secret BYTEA;

-- authn: which process asks a connection's transmitter for events. beats goes up
-- as long as it does; whoever sees it stand still may take over.
CREATE TABLE signal_polls (
    connection_id TEXT COLLATE "C" NOT NULL,
    holder        TEXT COLLATE "C" NOT NULL,
    beats         BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, connection_id)
);
CALL own('signal_polls');
