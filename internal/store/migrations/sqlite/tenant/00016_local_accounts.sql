-- authn/local: people who sign in by what is kept here. password is a sealed hash
-- (argon2id, as a PHC string); without one they have a passkey, which is a factor.
-- generation is of their credentials: it goes up when they are replaced.
CREATE TABLE local_accounts (
    user_id     TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    password    BLOB,
    generation  BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    used_at     BIGINT
);

-- authn/local: one-time links by which people get such an account, or new credentials
CREATE TABLE local_invitations (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    token_hash BLOB NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
