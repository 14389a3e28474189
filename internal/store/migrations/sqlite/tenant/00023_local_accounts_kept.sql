-- authn/local: who made a link, by whose rights of the moment it is worth anything.
-- One of which that is not known is worth nothing.
ALTER TABLE local_invitations ADD COLUMN maker_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE local_invitations ADD COLUMN maker_id TEXT NOT NULL DEFAULT '';

-- authn/local: when somebody has changed their password last; sign-ins by the one before
-- come to nothing from then on
ALTER TABLE local_accounts ADD COLUMN password_at BIGINT NOT NULL DEFAULT 0;
