-- tenants: the tenant's logo, under the hash of its image. Whichever the tenant's own
-- row names is the one; version is that of the row which first did.
CREATE TABLE logos (
    hash       TEXT COLLATE "C" NOT NULL,
    media_type TEXT COLLATE "C" NOT NULL,
    image      BYTEA NOT NULL,
    version    BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, hash)
);
CALL own('logos');
