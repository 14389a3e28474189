-- scim/recorder: the ids of all people and groups that stand anywhere in what is kept of a
-- request, in small letters, each in a line of its own: by them whoever is erased is found,
-- without a look at all else that is kept.
CREATE TABLE scim_request_ids (
    request_id TEXT PRIMARY KEY REFERENCES scim_requests (id) ON DELETE CASCADE,
    ids        TEXT NOT NULL
);
