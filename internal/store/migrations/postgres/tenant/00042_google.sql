-- directory/google: how a Google Workspace account is read, in one row, with what came of
-- it last; and which of its people and groups are who here. run is the reading in which
-- somebody was last seen. beats goes up as long as the holder reads; whoever sees it
-- stand still may take over. Of people, manager is an address and manager_id who that is;
-- digest is what was written last, as members is of a group; neither is in the directory
-- yet where user_id or group_id is null.
CREATE TABLE google_sync (
    id         BIGINT NOT NULL,
    spec       TEXT COLLATE "C" NOT NULL,
    key_sealed BYTEA NOT NULL,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    run        BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    holder     TEXT COLLATE "C" NOT NULL,
    beats      BIGINT NOT NULL,
    outcome    TEXT COLLATE "C" NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id)
);
CALL own('google_sync');

CREATE TABLE google_people (
    google_id  TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C",
    email      TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    active     BOOLEAN NOT NULL,
    gone       BOOLEAN NOT NULL,
    manager    TEXT COLLATE "C" NOT NULL,
    manager_id TEXT COLLATE "C" NOT NULL,
    run        BIGINT NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, google_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX google_people_run ON google_people (tenant_id, run, google_id);
CREATE INDEX google_people_email ON google_people (tenant_id, email);
CREATE INDEX google_people_user ON google_people (tenant_id, user_id);
CREATE INDEX google_people_skipped ON google_people (tenant_id, google_id) WHERE reason <> '';
CALL own('google_people');

CREATE TABLE google_groups (
    google_id TEXT COLLATE "C" NOT NULL,
    group_id  TEXT COLLATE "C",
    email     TEXT COLLATE "C" NOT NULL,
    digest    TEXT COLLATE "C" NOT NULL,
    members   TEXT COLLATE "C" NOT NULL,
    gone      BOOLEAN NOT NULL,
    run       BIGINT NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, google_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX google_groups_run ON google_groups (tenant_id, run, google_id);
CREATE INDEX google_groups_group ON google_groups (tenant_id, group_id);
CALL own('google_groups');
