-- machines: programs that call as service principals. credentials is what they are
-- recognised by, secrets what of it is sealed.
CREATE TABLE services (
    id           TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    enabled      BOOLEAN NOT NULL,
    credentials  TEXT COLLATE "C" NOT NULL,
    secrets      BYTEA,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
CALL own('services');
