-- authn/saml: from when on a key signs. The newest whose time has come does; those
-- after it are published already, and those before it still decrypt.
ALTER TABLE saml_keys ADD COLUMN signs_at BIGINT NOT NULL DEFAULT 0;
