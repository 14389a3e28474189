-- authn/token: whether a token is the secret of an OAuth client, of which connection it is,
-- what of SCIM it may use (words, or '' for all), the person to whom it belongs and with
-- whom it ends, and the token that takes its place
ALTER TABLE tokens ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN connection_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN access TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN owner_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN successor_id TEXT NOT NULL DEFAULT '';
CREATE INDEX tokens_owner ON tokens (owner_id) WHERE owner_id <> '';
CREATE INDEX tokens_connection ON tokens (connection_id) WHERE connection_id <> '';

-- those of people who are there now are theirs
UPDATE tokens SET owner_id = created_by WHERE scope = 'api' AND created_by IN (SELECT id FROM users WHERE active);

-- the access tokens of OAuth clients
CREATE TABLE access_tokens (
    hash       BLOB PRIMARY KEY,
    token_id   TEXT NOT NULL,
    access     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX access_tokens_token ON access_tokens (token_id, created_at);
