-- The transition log by the whole number of its job: half as many pages for each row, and a job's
-- rows lie side by side. The writer gives out the numbers, without gaps (owner.sequence).
CREATE TABLE log (
    seq         INTEGER PRIMARY KEY,
    job         INTEGER NOT NULL,   -- jobs.row; a job goes with its rows
    version     INTEGER NOT NULL,
    event       TEXT NOT NULL,
    from_status TEXT,
    to_status   TEXT NOT NULL,
    at          INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    reason      TEXT,
    actor       TEXT,
    UNIQUE (job, version)
) STRICT;

-- In which blocks of 1,024 numbers of the log a user has rows: a hundredth of what an index of all
-- rows by user would write.
CREATE TABLE log_users (
    user_id TEXT NOT NULL,
    block   INTEGER NOT NULL,   -- seq / 1024
    PRIMARY KEY (user_id, block)
) STRICT, WITHOUT ROWID;

CREATE INDEX log_users_age ON log_users (block);
