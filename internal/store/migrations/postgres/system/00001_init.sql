-- What belongs to no tenant. A transaction that is bound to a tenant sees none of
-- it, whatever it asks (promise P3). Text compares byte by byte everywhere, as
-- on SQLite, whatever the locale of the server.

-- apart keeps a table out of every tenant's transactions.
CREATE PROCEDURE apart(name regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY apart ON %s
        USING (coalesce(current_setting(''gatehouse.tenant'', true), '''') = '''')
        WITH CHECK (coalesce(current_setting(''gatehouse.tenant'', true), '''') = '''')', name);
END $$;

CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
CALL apart('meta');

-- stores are the tenants whose data is here; one that is being dropped takes no
-- transaction any more.
CREATE TABLE stores (
    tenant_id TEXT COLLATE "C" PRIMARY KEY CHECK (tenant_id <> ''),
    dropping  BOOLEAN NOT NULL DEFAULT false
);
CALL apart('stores');

CREATE TABLE tenants (
    id           TEXT COLLATE "C" PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL UNIQUE,
    display_name TEXT COLLATE "C" NOT NULL,
    status       TEXT COLLATE "C" NOT NULL,
    settings     TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CALL apart('tenants');

CREATE TABLE tenant_hosts (
    host      TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    position  BIGINT NOT NULL
);
CREATE INDEX tenant_hosts_tenant ON tenant_hosts (tenant_id);
CALL apart('tenant_hosts');

-- the keys that sign the identity for the app; the private part is sealed
-- under the platform's data key
CREATE TABLE signing_keys (
    kid        TEXT COLLATE "C" PRIMARY KEY,
    sealed     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
CALL apart('signing_keys');

-- enter binds a transaction that has just begun to a tenant, or to none (''),
-- until it ends; it can be called once. Writers go one after the other, and
-- one that falls silent is soon cut off by the server, so that it cannot keep the
-- others waiting.
CREATE FUNCTION enter(tenant TEXT, writes BOOLEAN) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('gatehouse.entered', true) = 'yes' THEN
        RAISE EXCEPTION 'the transaction is bound already' USING ERRCODE = '42501';
    END IF;
    IF writes THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('gatehouse ' || tenant, 0)),
            set_config('idle_in_transaction_session_timeout', '1s', true);
    END IF;
    IF tenant <> '' AND NOT EXISTS (SELECT 1 FROM stores s WHERE s.tenant_id = tenant AND NOT s.dropping) THEN
        RAISE EXCEPTION 'no such tenant' USING ERRCODE = 'GH001';
    END IF;
    PERFORM set_config('gatehouse.tenant', tenant, true), set_config('gatehouse.entered', 'yes', true);
END $$;
