"""What the members of documents mean, by name: one thing has one name everywhere.

What holds only in one document is written below the member, in its class in `cidx_jobs.wire`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from cidx_jobs.engine.operator_rules import (
    MAX_AGE_SECONDS,
    MAX_LIFETIME_SECONDS,
    MAX_TOKEN_LABEL_CHARACTERS,
    MAX_UNITS,
    SCOPES,
)
from cidx_jobs.engine.submit.checks import (
    LABEL_KEY_PATTERN,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
)
from cidx_jobs.model.ids import (
    JOB_ID_PATTERN,
    JOB_TYPE_PATTERN,
    MAX_USER_ID_CHARACTERS,
    PROJECT_ID_PATTERN,
)
from cidx_jobs.model.job.job import MAX_PRIORITY, MIN_PRIORITY, JobStatus
from cidx_jobs.model.limits import MAX_ATTEMPTS, MAX_TIMEOUT_SECONDS, Limits
from cidx_jobs.settings import Settings
from cidx_jobs.web.routes.jobs import MAX_REASON_CHARACTERS

_NOT_NEGATIVE = {"minimum": 0}
_PERCENT = {"minimum": 0, "maximum": 100}

MEMBERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "job_id": {
            "description": "The job: a UUIDv7 in lower case.",
            "pattern": f"^{JOB_ID_PATTERN}$",
        },
        "job_type": {"description": "The name of a registered job type."},
        "user_id": {"description": "Whose it is."},
        "project_id": {
            "description": "The project, one of its user's.",
            "pattern": f"^{PROJECT_ID_PATTERN}$",
        },
        "status": {"description": "Where it stands."},
        "done": {"description": "Whether it has ended."},
        "version": {"description": "Grows by one with each stored change.", "minimum": 1},
        "priority": {
            "description": "0 to 9, 9 first.",
            "minimum": MIN_PRIORITY,
            "maximum": MAX_PRIORITY,
        },
        "labels": {
            "description": "The caller's own marks.",
            "maxProperties": MAX_LABELS,
            "propertyNames": {"pattern": f"^{LABEL_KEY_PATTERN}$"},
        },
        "attempt": {"description": "The attempt; 0 before the first start.", **_NOT_NEGATIVE},
        "max_attempts": {
            "description": "How many attempts a submit, or a retry on request, grants.",
            "minimum": 1,
        },
        "options": {"description": "What the job was told, by its type's schema."},
        "progress": {"description": "0 to 100.", **_PERCENT},
        "phase": {"description": "The phase that it is in, or was in."},
        "message": {"description": "One line for people."},
        "progress_detail": {"description": "The finer side of the progress."},
        "phases": {"description": "The phases in their order."},
        "queue": {"description": "Why it waits and where it stands; null unless it waits."},
        "created_at": {"description": "When it was made."},
        "queued_at": {"description": "When it was last queued."},
        "start_at": {"description": "It does not start before this time."},
        "started_at": {"description": "When it last started."},
        "finished_at": {"description": "When it ended."},
        "updated_at": {"description": "When it last changed."},
        "timeout_seconds": {"description": "The longest a run may take.", "exclusiveMinimum": 0},
        "cancel_requested_at": {"description": "When it was told to stop."},
        "cancel_reason": {"description": "Why, as the caller said."},
        "checkpoint": {"description": "That a checkpoint is stored; null when none is."},
        "result": {"description": "What came out, when it completed."},
        "error": {"description": "Why it did not complete."},
        "warnings": {"description": "What a reader should know besides."},
        "attempts": {"description": "One entry for each ended run."},
        "links": {"description": "Where its own routes are."},
        "name": {"description": "Its name."},
        "code": {"description": "Documented, stable and never reused."},
        "success": {"description": "Always true: errors are problem documents."},
        "jobs": {"description": "The jobs."},
        "limit": {"description": "How many there may be on the page.", "minimum": 1},
        "offset": {"description": "How many were passed over.", **_NOT_NEGATIVE},
        "total": {"description": "How many there are in all.", **_NOT_NEGATIVE},
        "total_is_exact": {"description": "False: there are at least so many."},
        "unit": {"description": "What is counted."},
        "current_item": {"description": "What is worked on."},
        "rate_per_second": {"description": "How many a second."},
        "eta_seconds": {"description": "How long the rest may take."},
        "category": {"description": "What kind of thing went wrong."},
        "severity": {"description": "How bad it is."},
        "retryable": {"description": "Whether another attempt may succeed."},
        "occurred_at": {"description": "When it happened."},
        "outcome": {"description": "How the run ended."},
        "saved_at": {"description": "When it was stored."},
        "self": {"description": "The job."},
        "events": {"description": "Rows of the log, oldest first; as a link, where they are."},
        "cancel": {"description": "Where to cancel it."},
        "event": {"description": "What happened."},
        "to": {"description": "The status after it."},
        "at": {"description": "When it was stored."},
        "reason": {"description": "Why, where somebody said."},
        "repository_url": {"description": "Where the repository is."},
        "branch": {"description": "The branch; null follows the default one."},
        "default_branch": {"description": "What the remote last called its default branch."},
        "last_commit": {"description": "The commit that was last synced."},
        "last_synced_at": {"description": "When that was."},
        "last_job_id": {"description": "The job that did it."},
        "files_indexed": {"description": "How many files the index holds."},
        "repository_bytes": {"description": "The size of the copy."},
        "index_bytes": {"description": "The size of the index."},
        "projects": {"description": "The projects."},
        "path": {"description": "The file, from the root of the repository."},
        "line": {"description": "The text of the line."},
        "query": {"description": "What was looked for."},
        "hits": {"description": "The lines."},
        "limits": {"description": "The limits in force for the caller."},
        "running": {"description": "What runs now."},
        "max_running_per_user": {"description": "How many jobs of a user may run."},
        "max_running_total": {"description": "How many jobs may run in all."},
        "max_queued_per_user": {"description": "How many jobs of a user may wait."},
        "max_queued_total": {"description": "How many jobs may wait in all."},
        "max_priority": {"description": "The highest priority that a user may ask for."},
        "user_max_priorities": {"description": "Users for whom it is another one."},
        "resources": {"description": "Named resources."},
        "job_types": {"description": "Job types."},
        "on_interrupt": {"description": "What becomes of a run that the server's end cut off."},
        "reasons": {"description": "Codes that say why not."},
        "everything": {"description": "Nothing starts at all."},
        "users": {"description": "By user."},
        "p50": {"description": "Half took no longer."},
        "p95": {"description": "19 of 20 took no longer."},
        "used": {"description": "Units in use."},
        "database_id": {
            "description": "The id of the database; a copy takes one of its own when it starts."
        },
        "by_status": {"description": "Jobs by status."},
        "by_type": {"description": "Jobs by type."},
        "by_user": {"description": "Jobs by user."},
        "slots": {"description": "Who holds what."},
        "pauses": {"description": "What is paused."},
        "database_bytes": {"description": "The size of the database."},
        "wal_bytes": {"description": "The size of its write-ahead log."},
        "last_seq": {"description": "The number of the log's newest row."},
        "dry_run": {"description": "Only counted, deleted nothing."},
        "notes": {"description": "Warnings of the readiness: what should be mended all the same."},
        "findings": {"description": "One for each thing that does not fit together."},
        "unfinished": {"description": "Jobs that were not final."},
        "killed_processes": {"description": "Child processes of older servers."},
        "swept_files": {"description": "Files that a cut-off run or write had left."},
        "token_id": {"description": "The token's public name."},
        "scope": {"description": "`read`, `write` or `admin`; each includes those before it."},
        "label": {"description": "What it is for, in its owner's words."},
        "expires_at": {"description": "Null: good until it is revoked."},
        "tokens": {"description": "The tokens."},
        "title": {"description": "The kind of problem, in words."},
        "detail": {"description": "What is wrong, for the caller."},
        "on_conflict": {
            "description": "What to do while an exclusive job of the project is active."
        },
    }
)
"""What a member of this name means in every document, and what holds for all its values."""

_NO_CONTROLS = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_TIMEOUT = {"exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_SECONDS}
_LABELS = {
    "additionalProperties": {
        "type": "string",
        "maxLength": MAX_LABEL_CHARACTERS,
        **_NO_CONTROLS,
    }
}


def _map_of(low: int, high: int) -> Mapping[str, Any]:
    return {
        "propertyNames": {"minLength": 1, "maxLength": MAX_USER_ID_CHARACTERS, **_NO_CONTROLS},
        "additionalProperties": {"type": "integer", "minimum": low, "maximum": high},
    }


def _limits() -> Mapping[str, Mapping[str, Any]]:
    """Give the ranges that the settings of these names have, too."""
    bounds = {
        name: field.metadata["bounds"]
        for name, field in attrs.fields_dict(Settings).items()
        if name in Limits.__struct_fields__ and "bounds" in field.metadata
    }
    return {name: {"minimum": low, "maximum": high} for name, (low, high) in bounds.items()}


BODY_RULES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "job_type": {"pattern": f"^{JOB_TYPE_PATTERN}$"},
        "user_id": {"minLength": 1, "maxLength": MAX_USER_ID_CHARACTERS, **_NO_CONTROLS},
        "labels": _LABELS,
        **_limits(),
        "resources": _map_of(1, MAX_UNITS),
        "user_max_priorities": _map_of(MIN_PRIORITY, MAX_PRIORITY),
        "max_attempts": {"minimum": 1, "maximum": MAX_ATTEMPTS},
        "timeout_seconds": _TIMEOUT,
        "reason": {"maxLength": MAX_REASON_CHARACTERS},
        "scope": {"enum": list(SCOPES)},
        "lifetime_seconds": {"exclusiveMinimum": 0, "maximum": MAX_LIFETIME_SECONDS},
        "label": {"maxLength": MAX_TOKEN_LABEL_CHARACTERS, **_NO_CONTROLS},
        "older_than_seconds": {"minimum": 0, "maximum": MAX_AGE_SECONDS},
        "statuses": {"items": {"enum": [status.value for status in JobStatus if status.is_final]}},
    }
)
"""What the server asks of members of this name in the bodies of requests."""
