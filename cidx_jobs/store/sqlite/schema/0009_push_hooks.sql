-- The address at which a code host tells of pushes to a project. The secret is encrypted by a key
-- that lies beside the database, and in no backup of it.
CREATE TABLE push_hooks (
    hook_id       TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    sealed_secret TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    UNIQUE (user_id, project_id),
    FOREIGN KEY (user_id, project_id) REFERENCES projects (user_id, project_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What came to a hook last.
CREATE TABLE push_deliveries (
    row     INTEGER PRIMARY KEY,
    hook_id TEXT NOT NULL REFERENCES push_hooks (hook_id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    sender  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    verdict TEXT NOT NULL,
    job_id  TEXT
) STRICT;

CREATE INDEX push_deliveries_of_hook ON push_deliveries (hook_id);
