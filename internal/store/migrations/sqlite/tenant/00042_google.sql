-- directory/google: how a Google Workspace account is read, in one row, with what came of
-- it last; and which of its people and groups are who here. run is the reading in which
-- somebody was last seen. beats goes up as long as the holder reads; whoever sees it
-- stand still may take over. Of people, manager is an address and manager_id who that is;
-- digest is what was written last, as members is of a group; neither is in the directory
-- yet where user_id or group_id is null.
CREATE TABLE google_sync (
    id         BIGINT PRIMARY KEY,
    spec       TEXT NOT NULL,
    key_sealed BLOB NOT NULL,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    account    TEXT NOT NULL,
    run        BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    holder     TEXT NOT NULL,
    beats      BIGINT NOT NULL,
    outcome    TEXT NOT NULL
);

CREATE TABLE google_people (
    google_id  TEXT PRIMARY KEY,
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    email      TEXT NOT NULL,
    digest     TEXT NOT NULL,
    active     BOOLEAN NOT NULL,
    gone       BOOLEAN NOT NULL,
    manager    TEXT NOT NULL,
    manager_id TEXT NOT NULL,
    run        BIGINT NOT NULL,
    reason     TEXT NOT NULL
);
CREATE INDEX google_people_run ON google_people (run, google_id);
CREATE INDEX google_people_email ON google_people (email);
CREATE INDEX google_people_user ON google_people (user_id);
CREATE INDEX google_people_skipped ON google_people (google_id) WHERE reason <> '';

CREATE TABLE google_groups (
    google_id TEXT PRIMARY KEY,
    group_id  TEXT REFERENCES groups (id) ON DELETE CASCADE,
    email     TEXT NOT NULL,
    digest    TEXT NOT NULL,
    members   TEXT NOT NULL,
    gone      BOOLEAN NOT NULL,
    run       BIGINT NOT NULL,
    reason    TEXT NOT NULL
);
CREATE INDEX google_groups_run ON google_groups (run, google_id);
CREATE INDEX google_groups_group ON google_groups (group_id);
