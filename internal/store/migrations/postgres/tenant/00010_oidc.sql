-- authn/oidc: what we sign with towards a connection's identity provider
CREATE TABLE oidc_keys (
    connection_id TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    public_key    BYTEA NOT NULL,
    private_key   BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, connection_id, generation),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CALL own('oidc_keys');

-- sessions: by what an identity provider is asked again about who is signed in. The
-- version goes up with every token; whoever asks holds the row until held_until. It
-- goes along with its session to the one that takes its place, under the same id.
CREATE TABLE session_refreshes (
    id            TEXT COLLATE "C" NOT NULL,
    session_id    TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    secret        BYTEA NOT NULL,
    version       BIGINT NOT NULL,
    checked_at    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    holder        TEXT COLLATE "C" NOT NULL,
    held_until    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX session_refreshes_due ON session_refreshes (tenant_id, connection_id, due_at);
CREATE INDEX session_refreshes_checked ON session_refreshes (tenant_id, connection_id, checked_at);
CALL own('session_refreshes');
