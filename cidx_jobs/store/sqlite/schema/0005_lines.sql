-- Each exclusive type has a line of its own in a project. A job that is held, or whose time has not
-- come, has no place in it yet.
UPDATE jobs SET place = NULL WHERE status = 'created' AND (hold = 1 OR start_at IS NOT NULL);

DROP INDEX jobs_head;
DROP INDEX jobs_follower;

-- Of the exclusive jobs of one type in a project one is next (or runs), and one follows it.
CREATE UNIQUE INDEX jobs_head ON jobs (user_id, project_id, job_type) WHERE place = 'head';
CREATE UNIQUE INDEX jobs_follower ON jobs (user_id, project_id, job_type) WHERE place = 'follower';
