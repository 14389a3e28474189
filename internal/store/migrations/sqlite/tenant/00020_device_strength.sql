-- authn: how the person who allowed a program had authenticated until then (see
-- sessions): what they prove later is nothing of the program's. Of what was allowed
-- before this was kept nobody knows.
ALTER TABLE device_codes ADD COLUMN amr TEXT NOT NULL DEFAULT '';
ALTER TABLE device_codes ADD COLUMN acr TEXT NOT NULL DEFAULT '';
ALTER TABLE device_codes ADD COLUMN auth_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_codes ADD COLUMN factor_at BIGINT NOT NULL DEFAULT 0;
