-- directory: what people are found by beyond the columns: their attributes as they are
-- answered, in lower case: letters beyond ASCII with 00053. No text holds NUL from now
-- on (a backslash that is one itself, U+0001 meanwhile, makes no escape): PostgreSQL could
-- not look into one that does.
UPDATE users SET attributes = replace(replace(replace(attributes, '\\', char(1)), '\u0000', '\ufffd'), char(1), '\\') WHERE instr(attributes, '\u0000') > 0;
ALTER TABLE users ADD COLUMN search TEXT NOT NULL DEFAULT '{}';
UPDATE users SET search = lower(CASE WHEN email <> '' AND json_type(attributes, '$.emails') IS NULL
    THEN json_set(attributes, '$.emails', json_array(json_object('value', email, 'type', 'work', 'primary', json('true'))))
    ELSE attributes END);

-- lists are read in the order of these
CREATE INDEX users_display ON users (display_key, id);
CREATE INDEX users_updated ON users (updated_at, id);
