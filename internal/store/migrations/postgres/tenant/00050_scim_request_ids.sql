-- scim/recorder: the ids of all people and groups that stand anywhere in what is kept of a
-- request, in small letters, each in a line of its own: by them whoever is erased is found.
ALTER TABLE scim_requests ADD COLUMN ids TEXT COLLATE "C" NOT NULL DEFAULT '';
