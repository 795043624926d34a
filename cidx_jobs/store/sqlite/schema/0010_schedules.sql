-- The schedule that submitted a job, and the time of it that the job stands for.
ALTER TABLE jobs ADD COLUMN schedule TEXT;
ALTER TABLE jobs ADD COLUMN scheduled_at INTEGER;

CREATE TABLE schedules (
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    says        TEXT NOT NULL,      -- what it submits, and when (JSON)
    is_declared INTEGER NOT NULL,   -- 1: it stands in the application's code
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    settled_at  INTEGER NOT NULL,   -- of all its times until then it is settled what became of them
    owed_at     INTEGER,
    missed      INTEGER NOT NULL CHECK (missed >= 0),
    last_at     INTEGER,
    last_job_id TEXT,
    last_error  TEXT,
    PRIMARY KEY (user_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_of_project ON schedules (user_id, project_id);
