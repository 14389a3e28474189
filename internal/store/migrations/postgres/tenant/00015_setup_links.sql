-- authn/setup: links by which an organisation connects its identity provider
-- itself. A link is good until a browser has begun with it; then that browser is.
-- made_id and made_version are the connection as it was last written by the link.
CREATE TABLE setup_links (
    id           TEXT COLLATE "C" NOT NULL,
    token_hash   BYTEA NOT NULL,
    browser_hash BYTEA,
    connection   TEXT COLLATE "C" NOT NULL,
    made_id      TEXT COLLATE "C" NOT NULL,
    made_version BIGINT NOT NULL,
    terms        TEXT COLLATE "C" NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    begun_at     BIGINT,
    expires_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash),
    UNIQUE (tenant_id, browser_hash)
);
CALL own('setup_links');
