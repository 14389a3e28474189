-- sessions, in the order in which they are listed
CREATE INDEX sessions_created ON sessions (created_at, id);
