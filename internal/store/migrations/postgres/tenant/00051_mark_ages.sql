-- directory: when a node's mark was moved last, so that those of nodes that are never
-- started again go; 0: before that was kept
ALTER TABLE directory_marks ADD COLUMN moved_at BIGINT NOT NULL DEFAULT 0;
