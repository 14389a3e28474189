-- sessions: when the identity provider's own session ends, as it said at sign-in; 0: it
-- did not say
ALTER TABLE sessions ADD COLUMN until_at BIGINT NOT NULL DEFAULT 0;
