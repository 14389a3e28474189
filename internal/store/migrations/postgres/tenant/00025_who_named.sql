-- directory: who has named somebody so, as it calls itself and as the connection said of
-- it; both empty: whoever the connection believes, until it has named them once more
ALTER TABLE identities ADD COLUMN issuer TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE identities ADD COLUMN naming TEXT COLLATE "C" NOT NULL DEFAULT '';
