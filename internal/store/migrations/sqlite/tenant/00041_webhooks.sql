-- directory/feed: whom the changes are sent to. secrets is sealed. What is behind
-- updated_at is how far the delivery has come and who does it at the moment, which is no
-- part of the version.
CREATE TABLE webhooks (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    url            TEXT NOT NULL,
    types          TEXT NOT NULL,
    enabled        BOOLEAN NOT NULL,
    secrets        BLOB NOT NULL,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    tried_to       BIGINT NOT NULL,
    failures       BIGINT NOT NULL,
    failing_since  BIGINT NOT NULL,
    next_at        BIGINT NOT NULL,
    stopped        TEXT NOT NULL,
    holder         TEXT NOT NULL,
    held_until     BIGINT NOT NULL
);

CREATE TABLE webhook_deliveries (
    webhook_id TEXT NOT NULL,
    number     BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    changes    BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    problem    TEXT NOT NULL,
    began_at   BIGINT NOT NULL,
    took_ms    BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, number)
);
