-- scim/recorder: what provisioning clients have sent of late, and what was done with it.
-- What is looked for has a column of its own; the rest is in sealed. A row whose column
-- lost is not 0 stands for so many requests that were not kept.
CREATE TABLE scim_requests (
    id          TEXT PRIMARY KEY,
    at          BIGINT NOT NULL,
    took        BIGINT NOT NULL,
    node        TEXT NOT NULL,
    token_id    TEXT NOT NULL,
    token_name  TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    about       TEXT NOT NULL,
    status      BIGINT NOT NULL,
    scim_type   TEXT NOT NULL,
    failed      BOOLEAN NOT NULL,
    changed     BOOLEAN NOT NULL,
    lost        BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    sealed      BLOB NOT NULL
);
CREATE INDEX scim_requests_at ON scim_requests (at, id, bytes, token_id);
