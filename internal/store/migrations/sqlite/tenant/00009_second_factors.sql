-- sessions: when the person last showed a second factor; 0: never
ALTER TABLE sessions ADD COLUMN factor_at BIGINT NOT NULL DEFAULT 0;

-- authn/mfa: what people prove themselves with beside the identity provider.
-- credential_hash is there for passkeys alone; used_step is the newest TOTP step
-- that was used, or the newest signature count of a passkey.
CREATE TABLE factors (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    rp_id           TEXT NOT NULL,
    credential_hash BLOB UNIQUE,
    secret          BLOB NOT NULL,
    used_step       BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    used_at         BIGINT NOT NULL
);
CREATE INDEX factors_user ON factors (user_id, created_at, id);

CREATE TABLE recovery_codes (
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);

-- wrong codes in a row, and until when no other is looked at
CREATE TABLE factor_tries (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    wrong      BIGINT NOT NULL,
    wait_until BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind)
);
