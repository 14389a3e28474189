-- authn/local: who made a link, by whose rights of the moment it is worth anything.
-- One of which that is not known is worth nothing.
ALTER TABLE local_invitations ADD COLUMN maker_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE local_invitations ADD COLUMN maker_id TEXT NOT NULL DEFAULT '';
