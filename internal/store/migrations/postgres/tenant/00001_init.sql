-- What belongs to a tenant. tenant_id comes from the transaction, which enter has
-- bound to one tenant: no statement names it. It is the first column of every
-- key, so that no key says anything about other tenants' rows, and the server
-- keeps to its rows whatever a statement asks (promise P3). It is the last one of
-- every table, so that the others are as they are on SQLite.

-- own lets a transaction reach the rows of its tenant alone, and none if it is
-- bound to none.
CREATE PROCEDURE own(name regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %s
        USING (tenant_id = nullif(current_setting(''gatehouse.tenant'', true), ''''))
        WITH CHECK (tenant_id = nullif(current_setting(''gatehouse.tenant'', true), ''''))', name);
END $$;

-- tenants: how people sign in
CREATE TABLE connections (
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    secret     BYTEA,
    enabled    BOOLEAN NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
CALL own('connections');

-- directory: people, groups, teams. A *_key column is the folded form that
-- uniqueness and search go by; '' stands for "none", so that every comparison
-- has two truth values.
CREATE TABLE users (
    id           TEXT COLLATE "C" NOT NULL,
    user_name    TEXT COLLATE "C" NOT NULL,
    user_key     TEXT COLLATE "C" NOT NULL,
    external_id  TEXT COLLATE "C" NOT NULL,
    email        TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    display_key  TEXT COLLATE "C" NOT NULL,
    active       BOOLEAN NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    attributes   TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_key)
);
CREATE INDEX users_external ON users (tenant_id, external_id);
CREATE INDEX users_created ON users (tenant_id, created_at, id);
CALL own('users');

CREATE TABLE user_emails (
    user_id   TEXT COLLATE "C" NOT NULL,
    email     TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id, email),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX user_emails_email ON user_emails (tenant_id, email);
CALL own('user_emails');

-- the identity key is (tenant, connection, subject), never the email alone
CREATE TABLE identities (
    connection_id TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, connection_id, subject),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX identities_user ON identities (tenant_id, user_id);
CALL own('identities');

CREATE TABLE groups (
    id            TEXT COLLATE "C" NOT NULL,
    display_name  TEXT COLLATE "C" NOT NULL,
    name_key      TEXT COLLATE "C" NOT NULL,
    external_id   TEXT COLLATE "C" NOT NULL,
    source        TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
);
CREATE INDEX groups_external ON groups (tenant_id, external_id);
CREATE INDEX groups_created ON groups (tenant_id, created_at, id);
CALL own('groups');

CREATE TABLE group_members (
    group_id  TEXT COLLATE "C" NOT NULL,
    user_id   TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, group_id, user_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_members_user ON group_members (tenant_id, user_id);
CALL own('group_members');

CREATE TABLE teams (
    id           TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
CALL own('teams');

-- authz: roles of the tenant's own (the built-in ones are code) and who has them
CREATE TABLE roles (
    name        TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    tenant_id   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, name)
);
CALL own('roles');

CREATE TABLE assignments (
    id           TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    team_id      TEXT COLLATE "C",
    subject_kind TEXT COLLATE "C" NOT NULL,
    subject_id   TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, team_id) REFERENCES teams (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX assignments_subject ON assignments (tenant_id, subject_kind, subject_id);
CALL own('assignments');

CREATE TABLE policy_versions (
    version   BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    actor     TEXT COLLATE "C" NOT NULL,
    change    TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, version)
);
CALL own('policy_versions');

-- sessions
CREATE TABLE devices (
    id         TEXT COLLATE "C" NOT NULL,
    token_hash BYTEA NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    os         TEXT COLLATE "C" NOT NULL,
    browser    TEXT COLLATE "C" NOT NULL,
    blocked    BOOLEAN NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    last_ip    TEXT COLLATE "C" NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    UNIQUE (tenant_id, token_hash, user_id)
);
CREATE INDEX devices_user ON devices (tenant_id, user_id);
CALL own('devices');

CREATE TABLE sessions (
    id            TEXT COLLATE "C" NOT NULL,
    token_hash    BYTEA NOT NULL,
    user_id       TEXT COLLATE "C" NOT NULL,
    device_id     TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    idp_subject   TEXT COLLATE "C" NOT NULL,
    idp_session   TEXT COLLATE "C" NOT NULL,
    logout_hint   BYTEA,
    amr           TEXT COLLATE "C" NOT NULL,
    acr           TEXT COLLATE "C" NOT NULL,
    ip            TEXT COLLATE "C" NOT NULL,
    user_agent    TEXT COLLATE "C" NOT NULL,
    auth_at       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    end_reason    TEXT COLLATE "C",
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash)
);
CREATE INDEX sessions_live ON sessions (tenant_id, ended_at, created_at, id);
CREATE INDEX sessions_user ON sessions (tenant_id, user_id, ended_at);
CREATE INDEX sessions_device ON sessions (tenant_id, device_id, ended_at);
CALL own('sessions');

-- authn: sign-ins under way, assertions already used, tokens
CREATE TABLE login_flows (
    id_hash       BYTEA NOT NULL,
    browser_hash  BYTEA NOT NULL,
    network_hash  BYTEA NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    state         BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    tenant_id     TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id_hash)
);
CREATE INDEX login_flows_expiry ON login_flows (tenant_id, expires_at);
CALL own('login_flows');

CREATE TABLE assertions_seen (
    id_hash    BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id_hash)
);
CREATE INDEX assertions_seen_expiry ON assertions_seen (tenant_id, expires_at);
CALL own('assertions_seen');

CREATE TABLE tokens (
    id           TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    scope        TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    hash         BYTEA NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, hash)
);
CALL own('tokens');

-- audit: the searchable copy of what the journal holds, rebuilt from it
CREATE TABLE events (
    id         TEXT COLLATE "C" NOT NULL,
    node       TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    outcome    TEXT COLLATE "C" NOT NULL,
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor_id   TEXT COLLATE "C" NOT NULL,
    actor_name TEXT COLLATE "C" NOT NULL,
    target_id  TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    ip         TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, node, seq)
);
CREATE INDEX events_at ON events (tenant_id, at, id);
CREATE INDEX events_type ON events (tenant_id, type, at);
CREATE INDEX events_actor ON events (tenant_id, actor_id, at);
CREATE INDEX events_target ON events (tenant_id, target_id, at);
CALL own('events');

CREATE TABLE journal_cursors (
    node      TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, node)
);
CALL own('journal_cursors');
