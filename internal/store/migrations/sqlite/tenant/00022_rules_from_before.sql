-- directory: who was in the group of a rule before it was noted how anybody came there
-- counts as put there by the rule, so that they leave with it. Whom the provider itself
-- names there, their next sign-in tells.
UPDATE group_members SET ruled = TRUE WHERE group_id IN (
    SELECT g.id FROM groups g JOIN connections c ON c.id = g.connection_id JOIN json_each(c.spec, '$.group_rules') r
    WHERE g.source = 'signin' AND (g.display_name = trim(r.value ->> 'group') OR g.name_key = lower(trim(r.value ->> 'group'))));
