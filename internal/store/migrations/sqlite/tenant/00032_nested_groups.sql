-- directory: groups in groups. member_id is the group that is in group_id; cycles are
-- allowed, and a group in itself is refused beforehand
CREATE TABLE group_nestings (
    group_id  TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, member_id)
);
CREATE INDEX group_nestings_member ON group_nestings (member_id);

-- no change has left more members than these in a group, so that they need not be counted
-- for every change; NULL: they were not counted yet
ALTER TABLE groups ADD COLUMN members_at_most BIGINT;
