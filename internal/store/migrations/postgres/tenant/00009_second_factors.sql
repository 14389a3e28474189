-- sessions: when the person last showed a second factor; 0: never
ALTER TABLE sessions ADD COLUMN factor_at BIGINT NOT NULL DEFAULT 0;

-- authn/mfa: what people prove themselves with beside the identity provider.
-- credential_hash is there for passkeys alone; used_step is the newest TOTP step
-- that was used, or the newest signature count of a passkey.
CREATE TABLE factors (
    id              TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    rp_id           TEXT COLLATE "C" NOT NULL,
    credential_hash BYTEA,
    secret          BYTEA NOT NULL,
    used_step       BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    used_at         BIGINT NOT NULL,
    tenant_id       TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    UNIQUE (tenant_id, credential_hash)
);
CREATE INDEX factors_user ON factors (tenant_id, user_id, created_at, id);
CALL own('factors');

CREATE TABLE recovery_codes (
    user_id   TEXT COLLATE "C" NOT NULL,
    code_hash BYTEA NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id, code_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CALL own('recovery_codes');

-- wrong codes in a row, and until when no other is looked at
CREATE TABLE factor_tries (
    user_id    TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    wrong      BIGINT NOT NULL,
    wait_until BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id, kind),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CALL own('factor_tries');
