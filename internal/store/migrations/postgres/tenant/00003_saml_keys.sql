-- authn/saml: what we sign with towards a connection's identity provider. The
-- newest generation signs.
CREATE TABLE saml_keys (
    connection_id TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    certificate   BYTEA NOT NULL,
    private_key   BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, connection_id, generation),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CALL own('saml_keys');
