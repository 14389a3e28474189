-- authn/local: people who sign in by what is kept here. password is a sealed hash
-- (argon2id, as a PHC string); without one they have a passkey, which is a factor.
-- generation is of their credentials: it goes up when they are replaced.
CREATE TABLE local_accounts (
    user_id     TEXT COLLATE "C" NOT NULL,
    password    BYTEA,
    generation  BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    used_at     BIGINT,
    tenant_id   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CALL own('local_accounts');

-- authn/local: one-time links by which people get such an account, or new credentials
CREATE TABLE local_invitations (
    user_id    TEXT COLLATE "C" NOT NULL,
    token_hash BYTEA NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CALL own('local_invitations');
