-- sessions: those that a program carries, as a bearer token
ALTER TABLE sessions ADD COLUMN program BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX sessions_programs ON sessions (connection_id) WHERE program AND ended_at IS NULL;

-- authn: programs that ask to be let in (RFC 8628). Both codes are hashes. state is
-- pending, allowed, denied or used; hasty is whether the last poll came within pace
-- milliseconds of the one before.
CREATE TABLE device_codes (
    device_hash  BLOB PRIMARY KEY,
    user_hash    BLOB NOT NULL UNIQUE,
    network_hash BLOB NOT NULL,
    client       TEXT NOT NULL,
    host         TEXT NOT NULL,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    state        TEXT NOT NULL,
    allowed_by   TEXT NOT NULL,
    pace         BIGINT NOT NULL,
    polled_at    BIGINT NOT NULL,
    hasty        BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX device_codes_expiry ON device_codes (expires_at);
CREATE INDEX device_codes_network ON device_codes (network_hash, expires_at);

-- authn: how often somebody, or a network, has entered a code that there is not
CREATE TABLE device_guesses (
    who_hash   BLOB PRIMARY KEY,
    wrong      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX device_guesses_expiry ON device_guesses (expires_at);
