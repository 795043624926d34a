-- Projects that sync the same thing share its copy and index: each row names the one that its last
-- good sync went into. NULL, with a sync: the project's own, as before.
ALTER TABLE projects ADD COLUMN copy_id TEXT;
-- Why the last sync failed (JSON); NULL once one was good again.
ALTER TABLE projects ADD COLUMN last_error TEXT;
