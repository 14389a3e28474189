-- authn/oidc: what we sign with towards a connection's identity provider
CREATE TABLE oidc_keys (
    connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    generation    BIGINT NOT NULL,
    public_key    BLOB NOT NULL,
    private_key   BLOB NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (connection_id, generation)
);

-- sessions: by what an identity provider is asked again about who is signed in. The
-- version goes up with every token; whoever asks holds the row until held_until. It
-- goes along with its session to the one that takes its place, under the same id.
CREATE TABLE session_refreshes (
    id            TEXT PRIMARY KEY,
    session_id    TEXT NOT NULL UNIQUE REFERENCES sessions (id) ON DELETE CASCADE,
    connection_id TEXT NOT NULL,
    secret        BLOB NOT NULL,
    version       BIGINT NOT NULL,
    checked_at    BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    holder        TEXT NOT NULL,
    held_until    BIGINT NOT NULL
);
CREATE INDEX session_refreshes_due ON session_refreshes (connection_id, due_at);
CREATE INDEX session_refreshes_checked ON session_refreshes (connection_id, checked_at);
