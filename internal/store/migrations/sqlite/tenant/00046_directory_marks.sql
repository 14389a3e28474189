-- directory: up to which of a node's records the changes they tell of are known to be
-- made; unmade has the numbers of those among the last that were not, one after the other.
CREATE TABLE directory_marks (
    node   TEXT NOT NULL PRIMARY KEY,
    seq    BIGINT NOT NULL,
    unmade TEXT NOT NULL
);
