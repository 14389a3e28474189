-- sessions, in the order in which they are listed
CREATE INDEX sessions_created ON sessions (tenant_id, created_at, id);
