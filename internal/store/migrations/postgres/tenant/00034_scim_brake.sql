-- directory/brake: whom provisioning clients have taken out of late, and the one row that
-- says how the brake stands. Its column gone is how many rows there are of the former.
CREATE TABLE scim_departures (
    user_id   TEXT COLLATE "C" NOT NULL,
    left_at   BIGINT NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX scim_departures_left ON scim_departures (tenant_id, left_at);
CALL own('scim_departures');

CREATE TABLE scim_brake (
    id         BIGINT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    since_at   BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    counts_at  BIGINT NOT NULL,
    decided_by TEXT COLLATE "C" NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL,
    token_id   TEXT COLLATE "C" NOT NULL,
    token_name TEXT COLLATE "C" NOT NULL,
    held_gone  BIGINT NOT NULL,
    held_of    BIGINT NOT NULL,
    gone       BIGINT NOT NULL,
    people     BIGINT NOT NULL,
    counted_at BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id)
);
CALL own('scim_brake');

-- what those who are active are counted by
CREATE INDEX users_by_active ON users (tenant_id, active);
