-- In steps: goes on after the last row that was copied.
INSERT INTO log (
    seq, job, version, event, from_status, to_status, at, attempt, run, reason, actor
)
SELECT
    seq, row, events.version, event, from_status, to_status, at, events.attempt, events.run,
    reason, actor
FROM events CROSS JOIN jobs ON jobs.job_id = events.job_id
WHERE seq > (SELECT coalesce(max(seq), 0) FROM log)
ORDER BY seq LIMIT 20000;

INSERT INTO log_users
SELECT DISTINCT user_id, seq / 1024 FROM log CROSS JOIN jobs ON jobs.row = log.job;

DROP TABLE events;

-- The log as it is read by whoever looks at it by hand.
CREATE VIEW events AS
SELECT
    seq, job_id, log.version AS version, user_id, event, from_status, to_status, at,
    log.attempt AS attempt, log.run AS run, reason, actor
FROM log JOIN jobs ON jobs.row = log.job;
