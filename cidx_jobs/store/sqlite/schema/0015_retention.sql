-- Which of options and result were removed from a finished job, whose row stays (JSON); NULL for
-- none. A removal is one version, and the last one of its row.
ALTER TABLE jobs ADD COLUMN removed TEXT;

-- Each type may be kept for a time of its own, and what it holds for a shorter one.
DROP INDEX jobs_expiry;
CREATE INDEX jobs_expiry ON jobs (
    job_type, status, coalesce(options, nullif(result, '{}')) IS NOT NULL, finished_at
) WHERE finished_at IS NOT NULL;
