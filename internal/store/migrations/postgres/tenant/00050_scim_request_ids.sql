-- scim/recorder: the ids of all people and groups that stand anywhere in what is kept of a
-- request, in small letters, each in a line of its own: by them whoever is erased is found,
-- without a look at all else that is kept.
CREATE TABLE scim_request_ids (
    request_id TEXT COLLATE "C" NOT NULL,
    ids        TEXT COLLATE "C" NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, request_id),
    FOREIGN KEY (tenant_id, request_id) REFERENCES scim_requests (tenant_id, id) ON DELETE CASCADE
);
CALL own('scim_request_ids');
