-- A job that another one made, once for each key; and what a parent is told apart by.
ALTER TABLE jobs ADD COLUMN parent_id TEXT;
ALTER TABLE jobs ADD COLUMN child_key TEXT;
ALTER TABLE jobs ADD COLUMN has_children INTEGER NOT NULL DEFAULT 0;
-- The children that a suspended job waits for (JSON); NULL for none.
ALTER TABLE jobs ADD COLUMN joins TEXT;
-- The trace context of the submit (W3C Trace Context).
ALTER TABLE jobs ADD COLUMN traceparent TEXT;

CREATE UNIQUE INDEX jobs_child ON jobs (parent_id, child_key) WHERE parent_id IS NOT NULL;
