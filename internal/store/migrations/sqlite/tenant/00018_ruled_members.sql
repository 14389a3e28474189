-- directory: whether somebody is in a group by a rule of its connection alone; they
-- leave it with the rule
ALTER TABLE group_members ADD COLUMN ruled BOOLEAN NOT NULL DEFAULT FALSE;
