-- directory/feed: what has changed of people and groups, in the order in which it came
-- true, and the one row that says up to which number they are kept no more.
CREATE TABLE feed_changes (
    seq         BIGINT NOT NULL,
    type        TEXT COLLATE "C" NOT NULL,
    target_id   TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    members     TEXT COLLATE "C" NOT NULL,
    tenant_id   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, seq)
);
CALL own('feed_changes');

CREATE TABLE feed_floor (
    id        BIGINT NOT NULL,
    floor     BIGINT NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id)
);
CALL own('feed_floor');
