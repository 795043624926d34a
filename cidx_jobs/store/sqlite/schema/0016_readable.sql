-- Views for people with a shell: times in UTC by RFC 3339, words for numbers, and no secrets.

CREATE VIEW readable_jobs AS
SELECT
    job_id,
    job_type,
    user_id,
    project_id,
    status,
    progress,
    phase,
    message,
    priority,
    attempt,
    max_attempts,
    timeout_seconds,
    CASE hold WHEN 0 THEN 'no' ELSE 'yes' END AS held,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', queued_at / 1e6, 'unixepoch') AS queued_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', start_at / 1e6, 'unixepoch') AS start_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', retry_at / 1e6, 'unixepoch') AS retry_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e6, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1e6, 'unixepoch') AS finished_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1e6, 'unixepoch') AS updated_at,
    round((started_at - queued_at) / 1e6, 3) AS wait_seconds,
    round((finished_at - started_at) / 1e6, 3) AS run_seconds,
    strftime('%Y-%m-%dT%H:%M:%fZ', cancel_requested_at / 1e6, 'unixepoch') AS cancel_requested_at,
    cancel_reason,
    json_extract(error, '$.code') AS error_code,
    json_extract(error, '$.message') AS error_message,
    labels,
    options,
    result,
    parent_id,
    child_key,
    CASE has_children WHEN 0 THEN 'no' ELSE 'yes' END AS has_children,
    schedule,
    strftime('%Y-%m-%dT%H:%M:%fZ', scheduled_at / 1e6, 'unixepoch') AS scheduled_at,
    version
FROM jobs;

CREATE VIEW readable_events AS
SELECT
    seq,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') AS at,
    job_id,
    user_id,
    event,
    from_status,
    to_status,
    attempt,
    reason,
    coalesce(actor, 'server') AS actor,
    version
FROM events;

CREATE VIEW readable_checkpoints AS
SELECT
    job_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', saved_at / 1e6, 'unixepoch') AS saved_at,
    phase,
    data
FROM checkpoints;

CREATE VIEW readable_projects AS
SELECT
    user_id,
    project_id,
    repository_url,
    branch,
    default_branch,
    last_commit,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_synced_at / 1e6, 'unixepoch') AS last_synced_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', changed_at / 1e6, 'unixepoch') AS changed_at,
    last_job_id,
    files_indexed,
    repository_bytes,
    index_bytes,
    CASE sync_every_seconds WHEN 0 THEN 'auto' ELSE sync_every_seconds END AS sync_every_seconds,
    json_extract(last_error, '$.code') AS error_code,
    json_extract(last_error, '$.message') AS error_message,
    copy_id
FROM projects;

CREATE VIEW readable_schedules AS
SELECT
    user_id,
    name,
    project_id,
    json_extract(says, '$.job_type') AS job_type,
    json_extract(says, '$.cron') AS cron,
    json_extract(says, '$.every_seconds') AS every_seconds,
    json_extract(says, '$.timezone') AS timezone,
    CASE json_extract(says, '$.enabled') WHEN 0 THEN 'no' ELSE 'yes' END AS enabled,
    CASE is_declared WHEN 0 THEN 'no' ELSE 'yes' END AS declared,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', changed_at / 1e6, 'unixepoch') AS changed_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1e6, 'unixepoch') AS settled_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', owed_at / 1e6, 'unixepoch') AS owed_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_at / 1e6, 'unixepoch') AS last_at,
    last_job_id,
    last_error,
    missed
FROM schedules;

CREATE VIEW readable_accounts AS
SELECT
    user_id,
    scope,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', changed_at / 1e6, 'unixepoch') AS changed_at
FROM accounts;

CREATE VIEW readable_tokens AS
SELECT
    token_id,
    user_id,
    scope,
    label,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1e6, 'unixepoch') AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_used_at / 1e6, 'unixepoch') AS last_used_at
FROM tokens;

CREATE VIEW readable_admin_log AS
SELECT
    number,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') AS at,
    actor,
    action,
    target,
    address,
    CASE is_refusal WHEN 0 THEN 'no' ELSE 'yes' END AS refused
FROM admin_log;

CREATE VIEW readable_idempotency AS
SELECT
    user_id,
    key,
    job_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at
FROM idempotency;

CREATE VIEW readable_finals AS
SELECT
    user_id,
    job_type,
    status,
    jobs
FROM finals;

CREATE VIEW readable_stored_bytes AS
SELECT
    user_id,
    bytes,
    round(bytes / 1048576.0, 3) AS mebibytes
FROM stored_bytes;

CREATE VIEW readable_push_hooks AS
SELECT
    hook_id,
    user_id,
    project_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at
FROM push_hooks;

CREATE VIEW readable_push_deliveries AS
SELECT
    hook_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') AS at,
    sender,
    kind,
    verdict,
    job_id
FROM push_deliveries;

CREATE VIEW readable_end_notices AS
SELECT
    webhook_id,
    job_id,
    user_id,
    url,
    strftime('%Y-%m-%dT%H:%M:%fZ', next_at / 1e6, 'unixepoch') AS next_at,
    json_array_length(tries) AS tries
FROM end_notices;

CREATE VIEW readable_notify_secrets AS
SELECT
    user_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at
FROM notify_secrets;

CREATE VIEW readable_controls AS
SELECT
    limits,
    pauses
FROM controls;

CREATE VIEW readable_owner AS
SELECT
    uuid AS database_id,
    epoch AS starts,
    sequence AS last_seq,
    pruned_sequence AS last_deleted_seq
FROM owner;

CREATE VIEW readable_migrations AS
SELECT
    number,
    name,
    strftime('%Y-%m-%dT%H:%M:%fZ', applied_at / 1e6, 'unixepoch') AS applied_at
FROM migrations;
