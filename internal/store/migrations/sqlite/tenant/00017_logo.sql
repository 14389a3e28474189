-- tenants: the tenant's logo, under the hash of its image. Whichever the tenant's own
-- row names is the one; version is that of the row which first did.
CREATE TABLE logos (
    hash       TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    image      BLOB NOT NULL,
    version    BIGINT NOT NULL
);
