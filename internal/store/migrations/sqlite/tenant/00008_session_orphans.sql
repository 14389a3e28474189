-- sessions whose end a crash may have prevented are found from the few people and
-- devices that may not come in
CREATE INDEX users_inactive ON users (id) WHERE NOT active;
CREATE INDEX devices_blocked ON devices (id) WHERE blocked;
