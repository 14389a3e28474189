-- authn/saml: what we sign with towards a connection's identity provider. The
-- newest generation signs.
CREATE TABLE saml_keys (
    connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    generation    BIGINT NOT NULL,
    certificate   BLOB NOT NULL,
    private_key   BLOB NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (connection_id, generation)
);
