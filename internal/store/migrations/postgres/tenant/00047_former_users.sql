-- directory: who people were that are deleted, for as long as the tenant keeps that.
-- Nothing but the list of them is made of it.
CREATE TABLE former_users (
    id           TEXT COLLATE "C" NOT NULL,
    user_name    TEXT COLLATE "C" NOT NULL,
    external_id  TEXT COLLATE "C" NOT NULL,
    email        TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    search_key   TEXT COLLATE "C" NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    deleted_at   BIGINT NOT NULL,
    until_at     BIGINT NOT NULL,
    actor_kind   TEXT COLLATE "C" NOT NULL,
    actor_id     TEXT COLLATE "C" NOT NULL,
    actor_name   TEXT COLLATE "C" NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX former_users_deleted ON former_users (tenant_id, deleted_at, id);
CREATE INDEX former_users_until ON former_users (tenant_id, until_at);
CALL own('former_users');
