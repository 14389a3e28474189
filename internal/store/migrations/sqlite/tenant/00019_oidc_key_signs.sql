-- authn/keyring: from when on a key signs. Where it is not noted, that is a day after
-- the key was made.
ALTER TABLE oidc_keys ADD COLUMN signs_at BIGINT;
