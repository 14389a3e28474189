-- authn/setup: links by which an organisation connects its identity provider
-- itself. A link is good until a browser has begun with it; then that browser is.
-- made_id and made_version are the connection as it was last written by the link.
CREATE TABLE setup_links (
    id           TEXT PRIMARY KEY,
    token_hash   BLOB NOT NULL UNIQUE,
    browser_hash BLOB UNIQUE,
    connection   TEXT NOT NULL,
    made_id      TEXT NOT NULL,
    made_version BIGINT NOT NULL,
    terms        TEXT NOT NULL,
    created_by   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    begun_at     BIGINT,
    expires_at   BIGINT NOT NULL
);
