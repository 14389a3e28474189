-- tenants: the domains of email addresses whose people sign in by a connection
CREATE TABLE domains (
    name          TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    required      BOOLEAN NOT NULL,
    token         TEXT COLLATE "C" NOT NULL,
    verified_at   BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, name),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CALL own('domains');
