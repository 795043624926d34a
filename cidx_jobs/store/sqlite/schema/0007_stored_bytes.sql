-- What is stored of each user's jobs, as model/job/stored_bytes.py counts it. Kept by the writer.
CREATE TABLE stored_bytes (
    user_id TEXT PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO stored_bytes
SELECT user_id, sum(bytes) FROM (
    SELECT user_id, 1024
        + coalesce(nullif(length(CAST(labels AS BLOB)), 2), 0)
        + coalesce(nullif(length(CAST(options AS BLOB)), 2), 0)
        + coalesce(nullif(length(CAST(result AS BLOB)), 2), 0)
        + coalesce(nullif(length(CAST(error AS BLOB)), 2), 0)
        + coalesce(nullif(length(CAST(attempts AS BLOB)), 2), 0) AS bytes
    FROM jobs
    UNION ALL
    SELECT user_id, 256 + coalesce(length(CAST(reason AS BLOB)), 0) FROM events
    UNION ALL
    SELECT user_id, length(CAST(data AS BLOB)) FROM checkpoints JOIN jobs USING (job_id)
) GROUP BY user_id;
