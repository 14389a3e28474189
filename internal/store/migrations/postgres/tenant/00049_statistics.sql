-- What is known of the directory's tables grows with them. A plan that was made while one
-- was empty reads all of a tenant for each row that refers to it, by whichever index, and
-- is kept until the table is looked at: by itself, PostgreSQL does that once a minute, in
-- which a first load comes to a stand. A table that another transaction looks at just now
-- is passed over.
CREATE FUNCTION keep_statistics() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF pg_relation_size(TG_RELID) > 4 * 8192 * (SELECT greatest(relpages, 2)::bigint FROM pg_class WHERE oid = TG_RELID) THEN
        EXECUTE format('ANALYZE (SKIP_LOCKED) %s', TG_RELID::regclass);
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION keep_statistics() FROM PUBLIC;

CREATE TRIGGER keep_statistics AFTER INSERT ON users FOR EACH STATEMENT EXECUTE FUNCTION keep_statistics();
CREATE TRIGGER keep_statistics AFTER INSERT ON user_emails FOR EACH STATEMENT EXECUTE FUNCTION keep_statistics();
CREATE TRIGGER keep_statistics AFTER INSERT ON groups FOR EACH STATEMENT EXECUTE FUNCTION keep_statistics();
CREATE TRIGGER keep_statistics AFTER INSERT ON group_members FOR EACH STATEMENT EXECUTE FUNCTION keep_statistics();
