-- Where the job's end is to be told (JSON); NULL for nowhere.
ALTER TABLE jobs ADD COLUMN notify TEXT;

CREATE INDEX jobs_to_tell ON jobs (job_id, version)
WHERE notify IS NOT NULL AND finished_at IS NOT NULL;

-- What signs a user's notices, encrypted as the secrets of push hooks are.
CREATE TABLE notify_secrets (
    user_id       TEXT PRIMARY KEY,
    sealed_secret TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Each end of a job for each URL. It stays without its job while it is still to be told.
CREATE TABLE end_notices (
    webhook_id TEXT PRIMARY KEY,
    job_id     TEXT NOT NULL,
    version    INTEGER NOT NULL,
    user_id    TEXT NOT NULL,
    url        TEXT NOT NULL,
    body       BLOB NOT NULL,
    tries      TEXT NOT NULL,
    next_at    INTEGER,
    UNIQUE (job_id, version, url)
) STRICT;

CREATE INDEX end_notices_pending ON end_notices (next_at) WHERE next_at IS NOT NULL;
