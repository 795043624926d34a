"""Schedules: what requests say of them, and how the API shows them (api.md 1.10)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import MAX_ATTEMPTS
from cidx_jobs.model.schedules.cron_line import MAX_LINE_CHARACTERS
from cidx_jobs.model.schedules.schedule import (
    MAX_EVERY_SECONDS,
    MAX_JITTER_SECONDS,
    MIN_EVERY_SECONDS,
    NAME_PATTERN,
    ZONE_PATTERN,
    CatchUp,
)
from cidx_jobs.model.schedules.view import SHOWN_TIMES
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.encode import Document, NextCursor
from cidx_jobs.wire.member_rules import about
from cidx_jobs.wire.request_bodies import REPOSITORY_SYNC, Body

_Name = Annotated[
    str, about("Its name, unique among its user's.", {"pattern": f"^{NAME_PATTERN}$"})
]
_ProjectId = Annotated[str, about("The project, one of its user's.", rules.PROJECT_ID)]
_JobType = Annotated[str, about("The name of a registered job type.", rules.JOB_TYPE)]
_Options = Annotated[dict[str, Any], about("What each job is told, by its type's schema.")]
_Priority = Annotated[
    int | None, about("0 to 9, 9 first; the server's default if null.", rules.PRIORITY)
]
_Labels = Annotated[rules.Labels, about("Labels of each job.", rules.LABELS)]
_MaxAttempts = Annotated[
    int | None, about("How many attempts each job has.", rules.between(1, MAX_ATTEMPTS))
]
_Notify = Annotated[
    str | None, about("Where the end of each job is posted, as of a submit.", rules.NOTIFY)
]
_Timeout = Annotated[float | None, about("The longest a run may take.", rules.TIMEOUT)]
_Cron = Annotated[
    str | None,
    about(
        "A cron line of five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, "
        "`@yearly`; either this or `every_seconds`.",
        {"maxLength": MAX_LINE_CHARACTERS},
    ),
]
_Every = Annotated[
    int | None,
    about(
        "An even interval, counted from when the schedule was made or last changed.",
        rules.between(MIN_EVERY_SECONDS, MAX_EVERY_SECONDS),
    ),
]
_Timezone = Annotated[
    str,
    about(
        "The time zone of the cron line, by its name in the zone database.",
        {"pattern": f"^{ZONE_PATTERN}$"},
    ),
]
_Jitter = Annotated[
    int,
    about(
        "Up to so much later each time comes, by the same for one schedule.",
        rules.between(0, MAX_JITTER_SECONDS),
    ),
]
_CatchUp = Annotated[
    CatchUp, about("What becomes of times that were missed: one job for all of them, or none.")
]
_Enabled = Annotated[bool, about("Whether it fires.")]


class ScheduleMembers(Body, frozen=True, kw_only=True):
    """What may be said of a schedule when it is made and when it is changed."""

    job_type: _JobType = REPOSITORY_SYNC
    options: _Options = msgspec.field(default_factory=dict)
    priority: _Priority = None
    labels: _Labels = msgspec.field(default_factory=dict)
    max_attempts: _MaxAttempts = None
    timeout_seconds: _Timeout = None
    notify: _Notify = None
    cron: _Cron = None
    every_seconds: _Every = None
    timezone: _Timezone = "UTC"
    jitter_seconds: _Jitter = 0
    catch_up: _CatchUp = CatchUp.ONCE
    enabled: _Enabled = True


class ScheduleBody(ScheduleMembers, frozen=True, kw_only=True):
    """``POST /api/schedules``."""

    name: _Name
    user_id: Annotated[
        str | None,
        about("Whose it is; for administrators. The caller's own if null.", rules.USER_ID),
    ] = None
    project_id: _ProjectId


class ChangeScheduleBody(ScheduleMembers, frozen=True, kw_only=True):
    """``PATCH /api/schedules/{name}``: what is not there stays as it is."""

    project_id: _ProjectId | None = None


class ScheduleDocument(Document, frozen=True, kw_only=True):
    """One schedule: what it says, when it comes next, and what became of it last."""

    name: _Name
    user_id: Annotated[str, about("Whose it is.")]
    project_id: _ProjectId
    job_type: _JobType
    options: _Options
    priority: _Priority
    labels: _Labels
    max_attempts: _MaxAttempts
    timeout_seconds: _Timeout
    notify: _Notify = None
    cron: _Cron
    every_seconds: _Every
    timezone: _Timezone
    jitter_seconds: _Jitter
    catch_up: _CatchUp
    enabled: _Enabled
    declared: Annotated[
        bool, about("It stands in the application's code, and is changed and removed there.")
    ]
    created_at: Annotated[datetime, about("When it was made.")]
    updated_at: Annotated[datetime, about("When it was made, or last changed.")]
    next_at: Annotated[
        tuple[datetime, ...],
        about(f"The next {SHOWN_TIMES} times, without the jitter; empty when disabled."),
    ]
    last_at: Annotated[
        datetime | None, about("The last time that a job served, or when it was last run by hand.")
    ]
    last_job_id: Annotated[JobId | None, about("That job.")]
    last_status: Annotated[
        JobStatus | None, about("Where that job stands; null without one, or once it is deleted.")
    ]
    last_error: Annotated[str | None, about("Why the last time was refused; null if it was not.")]
    missed: Annotated[
        int,
        about(
            "How many times made no job of their own: they came while the server was "
            "down or their user paused, joined a waiting job, or were refused.",
            rules.NOT_NEGATIVE,
        ),
    ]


class ScheduleListDocument(Document, frozen=True, kw_only=True):
    """One page of schedules."""

    schedules: Annotated[tuple[ScheduleDocument, ...], about("The schedules, by user and name.")]
    next_cursor: NextCursor
