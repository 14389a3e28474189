-- login_flows: whose sign-in it is, where that is known: who has a second factor yet to
-- show
ALTER TABLE login_flows ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX login_flows_user ON login_flows (tenant_id, user_id) WHERE user_id <> '';
