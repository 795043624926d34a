-- What the product stored for a job in November 2026 (commit 79fe54c): its schema, and its own
-- statements in the order of a job's life. Frozen: a better schema of ours counts as a gain.
-- A statement goes from its "-- name:" line to its semicolon.

-- name: pragmas
PRAGMA busy_timeout = 5000;
PRAGMA temp_store = MEMORY;
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = ON;
PRAGMA cache_size = -32000;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
PRAGMA synchronous = FULL;

-- name: insert job
INSERT INTO jobs (job_id, job_type, user_id, project_id, timeout_seconds, created_at, version, updated_at, status, priority, max_attempts, attempts_granted, queued_at, labels, options, key_level, key_turn, key_arrival)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, -9223372036854775808), nullif(?, -9223372036854775808), nullif(?, -9223372036854775808), nullif(?, -9223372036854775808), nullif(?, -9223372036854775808), nullif(?, -9223372036854775808));

-- name: start job
UPDATE jobs SET version = ?, updated_at = ?, status = ?, attempt = ?, run = ?, epoch = ?, started_at = nullif(?, -9223372036854775808) WHERE job_id = ? AND version = ?;

-- name: end job
UPDATE jobs SET version = ?, updated_at = ?, progress = ?, status = ?, finished_at = nullif(?, -9223372036854775808), result = nullif(?, -9223372036854775808), attempts = nullif(?, -9223372036854775808) WHERE job_id = ? AND version = ?;

-- name: insert event
INSERT INTO events (seq, job_id, version, user_id, event, from_status, to_status, at, attempt, run, reason)
VALUES (?, ?, ?, ?, ?, nullif(?, -9223372036854775808), ?, ?, ?, ?, nullif(?, -9223372036854775808));

-- name: count final
INSERT INTO finals (user_id, job_type, status, jobs) VALUES (?, ?, ?, ?)
ON CONFLICT (user_id, job_type, status) DO UPDATE SET jobs = jobs + excluded.jobs;

-- name: own batch
UPDATE owner SET batch = batch + 1, sequence = ?, clock_seconds = ? WHERE id = 1 AND epoch = ?;

-- name: schema
-- The one row that says whose database this is, and how far its writes have come.
CREATE TABLE owner (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    uuid            TEXT NOT NULL,
    epoch           INTEGER NOT NULL,   -- grows at each start; every batch checks it
    batch           INTEGER NOT NULL,   -- grows with each transaction of the writer
    sequence        INTEGER NOT NULL,   -- the last number of the log that was given out
    pruned_sequence INTEGER NOT NULL,   -- the highest number that was deleted from the log
    clock_seconds   REAL NOT NULL       -- the engine clock at the last write
) STRICT;

INSERT INTO owner VALUES (
    1,
    lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
        || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
    ),
    0, 0, 0, 0, 0.0
);

-- Times are microseconds since 1970, UTC. NULL in a JSON column is the model's default.
CREATE TABLE jobs (
    row                 INTEGER PRIMARY KEY,
    job_id              TEXT NOT NULL UNIQUE,
    job_type            TEXT NOT NULL,
    user_id             TEXT NOT NULL,
    project_id          TEXT NOT NULL,
    timeout_seconds     REAL NOT NULL,
    created_at          INTEGER NOT NULL,
    status              TEXT NOT NULL,
    version             INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0,
    max_attempts        INTEGER NOT NULL,
    attempts_granted    INTEGER NOT NULL,
    run                 INTEGER NOT NULL DEFAULT 0,
    epoch               INTEGER NOT NULL DEFAULT 0,
    losses              INTEGER NOT NULL DEFAULT 0,
    place               TEXT,
    hold                INTEGER NOT NULL DEFAULT 0,
    start_at            INTEGER,
    retry_at            INTEGER,
    key_level           REAL,
    key_turn            INTEGER,
    key_arrival         INTEGER,
    progress            INTEGER NOT NULL DEFAULT 0,
    phase               TEXT,
    message             TEXT,
    queued_at           INTEGER,
    started_at          INTEGER,
    finished_at         INTEGER,
    updated_at          INTEGER NOT NULL,
    cancel_requested_at INTEGER,
    cancel_reason       TEXT,
    labels              TEXT,
    options             TEXT,
    progress_detail     TEXT,
    phases              TEXT,
    checkpoint          TEXT,
    result              TEXT,
    error               TEXT,
    warnings            TEXT,
    attempts            TEXT,
    -- What the code might forget. One CASE: it takes a third of the time of a list of rules.
    CHECK (
        CASE status
            WHEN 'created' THEN finished_at IS NULL AND progress < 100
            WHEN 'queued' THEN finished_at IS NULL AND progress < 100
            WHEN 'running' THEN
                finished_at IS NULL AND progress < 100 AND started_at IS NOT NULL AND run > 0
            WHEN 'completed' THEN
                finished_at IS NOT NULL AND progress <= 100 AND place IS NULL
                AND result IS NOT NULL
            WHEN 'failed' THEN
                finished_at IS NOT NULL AND progress < 100 AND place IS NULL AND error IS NOT NULL
            WHEN 'cancelled' THEN
                finished_at IS NOT NULL AND progress < 100 AND place IS NULL AND error IS NOT NULL
            ELSE 0
        END
    ),
    CHECK (version > 0 AND progress >= 0 AND attempt >= 0 AND run >= 0),
    CHECK (place IS NULL OR place = 'head' OR place = 'follower')
) STRICT;

-- Of the exclusive jobs of a project one is next (or runs), and one follows it.
CREATE UNIQUE INDEX jobs_head ON jobs (user_id, project_id) WHERE place = 'head';
CREATE UNIQUE INDEX jobs_follower ON jobs (user_id, project_id) WHERE place = 'follower';

-- Jobs that are not final are few and change often; final ones are many and never change. An
-- index each keeps a change of status cheap, and a list by any of user, type and status short:
-- each index ends with the row, so that one value of its columns is in the order of submits.
CREATE INDEX jobs_live ON jobs (status, user_id, job_type) WHERE finished_at IS NULL;
CREATE INDEX jobs_final_of_user ON jobs (user_id, job_type, status) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_final ON jobs (job_type, status) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_expiry ON jobs (status, finished_at) WHERE finished_at IS NOT NULL;

-- How many final jobs there are, so that totals are exact without counting rows. Kept by the
-- writer: triggers would take as long as the rows themselves.
CREATE TABLE finals (
    user_id  TEXT NOT NULL,
    job_type TEXT NOT NULL,
    status   TEXT NOT NULL,
    jobs     INTEGER NOT NULL CHECK (jobs >= 0),
    PRIMARY KEY (user_id, job_type, status)
) STRICT, WITHOUT ROWID;

-- The transition log. The writer gives out the numbers, without gaps (owner.sequence).
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    job_id      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    user_id     TEXT NOT NULL,
    event       TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    at          INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    reason      TEXT,
    UNIQUE (job_id, version)
) STRICT;

CREATE INDEX events_of_user ON events (user_id);

CREATE TABLE idempotency (
    user_id     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE checkpoints (
    job_id   TEXT PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
    run      INTEGER NOT NULL,
    data     TEXT NOT NULL,
    phase    TEXT,
    saved_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    user_id          TEXT NOT NULL,
    project_id       TEXT NOT NULL,
    repository_url   TEXT,
    branch           TEXT,
    default_branch   TEXT,
    last_commit      TEXT,
    last_synced_at   INTEGER,
    last_job_id      TEXT,
    files_indexed    INTEGER,
    repository_bytes INTEGER,
    index_bytes      INTEGER,
    phase_seconds    TEXT,
    PRIMARY KEY (user_id, project_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    token_id     TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    digest       TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    label        TEXT
) STRICT;

-- What an operator set while the server ran; NULL limits are those of the settings.
CREATE TABLE controls (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    limits TEXT,
    pauses TEXT NOT NULL
) STRICT;
