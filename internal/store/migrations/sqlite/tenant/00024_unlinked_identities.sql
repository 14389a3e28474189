-- directory: identities that were taken from people, and when last. What they had begun
-- before is over, also where a crash came before its end
CREATE TABLE unlinked_identities (
    connection_id TEXT NOT NULL,
    subject       TEXT NOT NULL,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    unlinked_at   BIGINT NOT NULL,
    PRIMARY KEY (connection_id, subject, user_id)
);
CREATE INDEX unlinked_identities_user ON unlinked_identities (user_id);
