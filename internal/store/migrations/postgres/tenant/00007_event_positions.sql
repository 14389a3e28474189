-- audit: in which order events came into the index, from whichever node; 0 for
-- those that were in it before this was kept
ALTER TABLE events ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_position ON events (tenant_id, position);
