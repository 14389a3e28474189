-- directory: who was in the group of a rule before it was noted how anybody came there
-- counts as put there by the rule, so that they leave with it. Whom the provider itself
-- names there, their next sign-in tells. Every tenant's are meant, so that the tables'
-- owner must see them for once.
ALTER TABLE connections NO FORCE ROW LEVEL SECURITY;
ALTER TABLE groups NO FORCE ROW LEVEL SECURITY;
ALTER TABLE group_members NO FORCE ROW LEVEL SECURITY;
UPDATE group_members m SET ruled = TRUE
    FROM groups g JOIN connections c ON c.tenant_id = g.tenant_id AND c.id = g.connection_id,
        jsonb_array_elements(coalesce(c.spec::jsonb -> 'group_rules', '[]')) r
    WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id AND g.source = 'signin'
        AND (g.display_name = trim(r ->> 'group') OR g.name_key = lower(trim(r ->> 'group')));
ALTER TABLE group_members FORCE ROW LEVEL SECURITY;
ALTER TABLE groups FORCE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
