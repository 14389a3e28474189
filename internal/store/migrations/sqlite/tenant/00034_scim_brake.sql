-- directory/brake: whom provisioning clients have taken out of late, and the one row that
-- says how the brake stands. Its column gone is how many rows there are of the former.
CREATE TABLE scim_departures (
    user_id TEXT PRIMARY KEY,
    left_at BIGINT NOT NULL
);
CREATE INDEX scim_departures_left ON scim_departures (left_at);

CREATE TABLE scim_brake (
    id         BIGINT PRIMARY KEY,
    state      TEXT NOT NULL,
    since_at   BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    counts_at  BIGINT NOT NULL,
    decided_by TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    token_id   TEXT NOT NULL,
    token_name TEXT NOT NULL,
    held_gone  BIGINT NOT NULL,
    held_of    BIGINT NOT NULL,
    gone       BIGINT NOT NULL,
    people     BIGINT NOT NULL,
    counted_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- what those who are active are counted by
CREATE INDEX users_by_active ON users (active);
