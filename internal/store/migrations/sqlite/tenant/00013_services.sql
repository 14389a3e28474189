-- machines: programs that call as service principals. credentials is what they are
-- recognised by, secrets what of it is sealed.
CREATE TABLE services (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    role         TEXT NOT NULL,
    enabled      BOOLEAN NOT NULL,
    credentials  TEXT NOT NULL,
    secrets      BLOB,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
