-- tenants: how people sign in
CREATE TABLE connections (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    type       TEXT NOT NULL,
    spec       TEXT NOT NULL,
    secret     BLOB,
    enabled    BOOLEAN NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- directory: people, groups, teams. A *_key column is the folded form that
-- uniqueness and search go by; '' stands for "none", so that every comparison
-- has two truth values.
CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    user_name    TEXT NOT NULL,
    user_key     TEXT NOT NULL UNIQUE,
    external_id  TEXT NOT NULL,
    email        TEXT NOT NULL,
    display_name TEXT NOT NULL,
    display_key  TEXT NOT NULL,
    active       BOOLEAN NOT NULL,
    source       TEXT NOT NULL,
    attributes   TEXT NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX users_external ON users (external_id);
CREATE INDEX users_created ON users (created_at, id);

CREATE TABLE user_emails (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email   TEXT NOT NULL,
    PRIMARY KEY (user_id, email)
);
CREATE INDEX user_emails_email ON user_emails (email);

-- the identity key is (tenant, connection, subject), never the email alone
CREATE TABLE identities (
    connection_id TEXT NOT NULL,
    subject       TEXT NOT NULL,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    PRIMARY KEY (connection_id, subject)
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE groups (
    id            TEXT PRIMARY KEY,
    display_name  TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    external_id   TEXT NOT NULL,
    source        TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);
CREATE INDEX groups_external ON groups (external_id);
CREATE INDEX groups_created ON groups (created_at, id);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE teams (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

-- authz: roles of the tenant's own (the built-in ones are code) and who has them
CREATE TABLE roles (
    name        TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    version     BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE assignments (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    role         TEXT NOT NULL,
    team_id      TEXT REFERENCES teams (id) ON DELETE CASCADE,
    subject_kind TEXT NOT NULL,
    subject_id   TEXT NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX assignments_subject ON assignments (subject_kind, subject_id);

CREATE TABLE policy_versions (
    version BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    change  TEXT NOT NULL
);

-- sessions
CREATE TABLE devices (
    id          TEXT PRIMARY KEY,
    token_hash  BLOB NOT NULL,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    os          TEXT NOT NULL,
    browser     TEXT NOT NULL,
    blocked     BOOLEAN NOT NULL,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    last_ip     TEXT NOT NULL,
    UNIQUE (token_hash, user_id)
);
CREATE INDEX devices_user ON devices (user_id);

CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    token_hash    BLOB NOT NULL UNIQUE,
    user_id       TEXT NOT NULL,
    device_id     TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    idp_subject   TEXT NOT NULL,
    idp_session   TEXT NOT NULL,
    logout_hint   BLOB,
    amr           TEXT NOT NULL,
    acr           TEXT NOT NULL,
    ip            TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    auth_at       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    end_reason    TEXT
);
CREATE INDEX sessions_live ON sessions (ended_at, created_at, id);
CREATE INDEX sessions_user ON sessions (user_id, ended_at);
CREATE INDEX sessions_device ON sessions (device_id, ended_at);

-- authn: sign-ins under way, assertions already used, tokens
CREATE TABLE login_flows (
    id_hash       BLOB PRIMARY KEY,
    browser_hash  BLOB NOT NULL,
    network_hash  BLOB NOT NULL,
    connection_id TEXT NOT NULL,
    state         BLOB NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX login_flows_expiry ON login_flows (expires_at);

CREATE TABLE assertions_seen (
    id_hash    BLOB PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX assertions_seen_expiry ON assertions_seen (expires_at);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    scope        TEXT NOT NULL,
    role         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    created_by   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT
);

-- audit: the searchable copy of what the journal holds, rebuilt from it
CREATE TABLE events (
    id         TEXT PRIMARY KEY,
    node       TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    type       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    target_id  TEXT NOT NULL,
    session_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    ip         TEXT NOT NULL,
    body       TEXT NOT NULL,
    UNIQUE (node, seq)
);
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_type ON events (type, at);
CREATE INDEX events_actor ON events (actor_id, at);
CREATE INDEX events_target ON events (target_id, at);

CREATE TABLE journal_cursors (
    node TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL
);
