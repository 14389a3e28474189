-- directory: who people were that are deleted, for as long as the tenant keeps that.
-- Nothing but the list of them is made of it.
CREATE TABLE former_users (
    id           TEXT PRIMARY KEY,
    user_name    TEXT NOT NULL,
    external_id  TEXT NOT NULL,
    email        TEXT NOT NULL,
    display_name TEXT NOT NULL,
    search_key   TEXT NOT NULL,
    source       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    deleted_at   BIGINT NOT NULL,
    until_at     BIGINT NOT NULL,
    actor_kind   TEXT NOT NULL,
    actor_id     TEXT NOT NULL,
    actor_name   TEXT NOT NULL
);
CREATE INDEX former_users_deleted ON former_users (deleted_at, id);
CREATE INDEX former_users_until ON former_users (until_at);
