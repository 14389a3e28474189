-- scim/recorder: what provisioning clients have sent of late, and what was done with it.
-- What is looked for has a column of its own; the rest is in sealed. A row whose column
-- lost is not 0 stands for so many requests that were not kept.
CREATE TABLE scim_requests (
    id          TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    took        BIGINT NOT NULL,
    node        TEXT COLLATE "C" NOT NULL,
    token_id    TEXT COLLATE "C" NOT NULL,
    token_name  TEXT COLLATE "C" NOT NULL,
    method      TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    about       TEXT COLLATE "C" NOT NULL,
    status      BIGINT NOT NULL,
    scim_type   TEXT COLLATE "C" NOT NULL,
    failed      BOOLEAN NOT NULL,
    changed     BOOLEAN NOT NULL,
    lost        BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    sealed      BYTEA NOT NULL,
    tenant_id   TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX scim_requests_at ON scim_requests (tenant_id, at, id, bytes, token_id);
CALL own('scim_requests');
