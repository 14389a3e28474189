-- tenants: the domains of email addresses whose people sign in by a connection
CREATE TABLE domains (
    name          TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    required      BOOLEAN NOT NULL,
    token         TEXT NOT NULL,
    verified_at   BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);
