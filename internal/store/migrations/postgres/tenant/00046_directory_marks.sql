-- directory: up to which of a node's records the changes they tell of are known to be
-- made; unmade has the numbers of those among the last that were not, one after the other.
CREATE TABLE directory_marks (
    node      TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    unmade    TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL DEFAULT current_setting('gatehouse.tenant'),
    PRIMARY KEY (tenant_id, node)
);
CALL own('directory_marks');
