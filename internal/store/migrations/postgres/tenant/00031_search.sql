-- directory: what people are found by beyond the columns: their attributes as they are
-- answered, in lower case: letters beyond ASCII with 00053. No text holds NUL from now
-- on (a backslash that is one itself, U+0001 meanwhile, makes no escape): it could not be
-- looked into. Every tenant's are meant, so that the table's owner must see them for once.
ALTER TABLE users NO FORCE ROW LEVEL SECURITY;
UPDATE users SET attributes = replace(replace(replace(attributes, '\\', chr(1)), '\u0000', '\ufffd'), chr(1), '\\') WHERE position('\u0000' in attributes) > 0;
ALTER TABLE users ADD COLUMN search JSONB NOT NULL DEFAULT '{}';
UPDATE users SET search = lower((CASE WHEN email <> '' AND attributes::jsonb -> 'emails' IS NULL
    THEN attributes::jsonb || jsonb_build_object('emails', jsonb_build_array(jsonb_build_object('value', email, 'type', 'work', 'primary', true)))
    ELSE attributes::jsonb END)::text COLLATE "C")::jsonb;
ALTER TABLE users FORCE ROW LEVEL SECURITY;

-- lists are read in the order of these
CREATE INDEX users_display ON users (tenant_id, display_key, id);
CREATE INDEX users_updated ON users (tenant_id, updated_at, id);
