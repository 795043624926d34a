-- How often a project's remote is asked for news: seconds, 0 for as often as it changes, NULL for
-- never; and when a sync last found another commit.
ALTER TABLE projects ADD COLUMN sync_every_seconds INTEGER;
ALTER TABLE projects ADD COLUMN changed_at INTEGER;

CREATE INDEX projects_followed ON projects (user_id, project_id)
WHERE sync_every_seconds IS NOT NULL;
