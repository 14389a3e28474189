-- sessions, as their identity provider names them
CREATE INDEX sessions_idp_subject ON sessions (connection_id, idp_subject) WHERE ended_at IS NULL;
CREATE INDEX sessions_idp_session ON sessions (connection_id, idp_session) WHERE ended_at IS NULL;
