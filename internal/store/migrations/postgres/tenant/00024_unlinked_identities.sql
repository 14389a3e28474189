-- directory: identities that were taken from people, and when last. What they had begun
-- before is over, also where a crash came before its end
CREATE TABLE unlinked_identities (
    connection_id TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    unlinked_at   BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, connection_id, subject, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX unlinked_identities_user ON unlinked_identities (tenant_id, user_id);
CALL own('unlinked_identities');
