-- directory/feed: whom the changes are sent to. secrets is sealed. What is behind
-- updated_at is how far the delivery has come and who does it at the moment, which is no
-- part of the version.
CREATE TABLE webhooks (
    id             TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    url            TEXT COLLATE "C" NOT NULL,
    types          TEXT COLLATE "C" NOT NULL,
    enabled        BOOLEAN NOT NULL,
    secrets        BYTEA NOT NULL,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    tried_to       BIGINT NOT NULL,
    failures       BIGINT NOT NULL,
    failing_since  BIGINT NOT NULL,
    next_at        BIGINT NOT NULL,
    stopped        TEXT COLLATE "C" NOT NULL,
    holder         TEXT COLLATE "C" NOT NULL,
    held_until     BIGINT NOT NULL,
    tenant_id      TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
CALL own('webhooks');

CREATE TABLE webhook_deliveries (
    webhook_id TEXT COLLATE "C" NOT NULL,
    number     BIGINT NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    changes    BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    problem    TEXT COLLATE "C" NOT NULL,
    began_at   BIGINT NOT NULL,
    took_ms    BIGINT NOT NULL,
    tenant_id  TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, webhook_id, number)
);
CALL own('webhook_deliveries');
