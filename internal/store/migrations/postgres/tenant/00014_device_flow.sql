-- sessions: those that a program carries, as a bearer token
ALTER TABLE sessions ADD COLUMN program BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX sessions_programs ON sessions (tenant_id, connection_id) WHERE program AND ended_at IS NULL;

-- authn: programs that ask to be let in (RFC 8628). Both codes are hashes. state is
-- pending, allowed, denied or used; hasty is whether the last poll came within pace
-- milliseconds of the one before.
CREATE TABLE device_codes (
    device_hash  BYTEA NOT NULL,
    user_hash    BYTEA NOT NULL,
    network_hash BYTEA NOT NULL,
    client       TEXT COLLATE "C" NOT NULL,
    host         TEXT COLLATE "C" NOT NULL,
    ip           TEXT COLLATE "C" NOT NULL,
    user_agent   TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    allowed_by   TEXT COLLATE "C" NOT NULL,
    pace         BIGINT NOT NULL,
    polled_at    BIGINT NOT NULL,
    hasty        BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, device_hash),
    UNIQUE (tenant_id, user_hash)
);
CREATE INDEX device_codes_expiry ON device_codes (tenant_id, expires_at);
CREATE INDEX device_codes_network ON device_codes (tenant_id, network_hash, expires_at);
CALL own('device_codes');

-- authn: how often somebody, or a network, has entered a code that there is not
CREATE TABLE device_guesses (
    who_hash   BYTEA NOT NULL,
    wrong      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, who_hash)
);
CREATE INDEX device_guesses_expiry ON device_guesses (tenant_id, expires_at);
CALL own('device_guesses');
