-- directory: groups in groups. member_id is the group that is in group_id; cycles are
-- allowed, and a group in itself is refused beforehand
CREATE TABLE group_nestings (
    group_id  TEXT COLLATE "C" NOT NULL,
    member_id TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, group_id, member_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, member_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_nestings_member ON group_nestings (tenant_id, member_id);
CALL own('group_nestings');

-- no change has left more members than these in a group, so that they need not be counted
-- for every change; NULL: they were not counted yet
ALTER TABLE groups ADD COLUMN members_at_most BIGINT;
