"""The server as the API shows it: its queue, its job types, its counts and its health."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec

from cidx_jobs.model.findings import Recovery
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.wire import job_parts as of_job
from cidx_jobs.wire import member_rules as rules
from cidx_jobs.wire.admin.retention import RetentionDocument
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.job_parts import QueueDocument
from cidx_jobs.wire.member_rules import about


class LimitsDocument(Document, frozen=True, kw_only=True):
    """The limits in force."""

    max_running_per_user: Annotated[int, about("How many jobs of a user may run.")]
    max_running_total: Annotated[int, about("How many jobs may run in all.")]
    max_queued_per_user: Annotated[int, about("How many jobs of a user may wait.")]
    max_queued_total: Annotated[int, about("How many jobs may wait in all.")]
    resources: Annotated[dict[str, int], about("Named resources.")]
    max_priority: Annotated[
        int,
        about(
            "The highest priority that a user may ask for; the caller's own in `GET /api/queue`."
        ),
    ]
    user_max_priorities: Annotated[
        dict[str, int], about("Users for whom it is another one; empty but for admins.")
    ]

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Return the document of the limits, as an admin sees them."""
        return cls.like(
            limits,
            resources=dict(limits.resources),
            user_max_priorities=dict(limits.user_max_priorities),
        )


class SlotsDocument(Document, frozen=True, kw_only=True):
    """Slots in use."""

    user: Annotated[int, about("By the caller's jobs.")]
    total: Annotated[int, about("By all jobs that run.", rules.NOT_NEGATIVE)]
    resources: Annotated[dict[str, int], about("Named resources.")]


class WaitingJobDocument(Document, frozen=True, kw_only=True):
    """One waiting job of the caller."""

    job_id: of_job.JobIdMember
    job_type: of_job.JobTypeMember
    project_id: of_job.ProjectIdMember
    status: of_job.StatusMember
    priority: of_job.PriorityMember
    queue: Annotated[
        QueueDocument | None, about("Why it waits and where it stands; null unless it waits.")
    ]


class RecoveringDocument(Document, frozen=True, kw_only=True):
    """That a suspect of a crash runs alone: all other queued jobs wait, `recovering`."""

    until: Annotated[
        datetime | None,
        about("When they go on at the latest; null while the suspect has not started."),
    ]
    suspects: Annotated[int, about("Suspects that have yet to be proven.")]
    job_id: Annotated[
        JobId | None, about("The suspect; null for who may not see the job.", rules.JOB_ID)
    ]


class HostDownDocument(Document, frozen=True, kw_only=True):
    """A code host that does not answer: its jobs wait, and one at a time probes."""

    host: Annotated[str, about("Its name, with `:port` unless that is the scheme's own.")]
    code: Annotated[str, about("The code of the network's error that was met last.")]
    since: Annotated[datetime, about("When it was first found down.")]
    until: Annotated[datetime, about("When it is probed next, at the latest.")]
    waiting: Annotated[
        int, about("Queued jobs that wait for it; of the caller alone in the queue.")
    ]


class QueueOverviewDocument(Document, frozen=True, kw_only=True):
    """``GET /api/queue``."""

    limits: Annotated[LimitsDocument, about("The limits in force for the caller.")]
    running: Annotated[SlotsDocument, about("What runs now.")]
    queued: Annotated[int, about("Jobs in the queue in all.")]
    jobs: Annotated[
        tuple[WaitingJobDocument, ...],
        about(
            "The caller's waiting jobs in the order of their positions; those without one last."
        ),
    ]
    recovering: Annotated[
        RecoveringDocument | None,
        about("The suspect of a crash that keeps all others waiting; mostly null."),
    ] = None
    hosts_down: Annotated[
        tuple[HostDownDocument, ...],
        about("Code hosts that jobs of the caller wait for, as they do not answer."),
    ] = ()


class JobTypeDocument(Document, frozen=True, kw_only=True):
    """One registered job type."""

    name: Annotated[str, about("Its name.")]
    exclusive: Annotated[bool, about("Two runs of exclusive types in one project never overlap.")]
    max_attempts: of_job.MaxAttemptsMember
    timeout_seconds: of_job.TimeoutSecondsMember
    on_interrupt: Annotated[str, about("What becomes of a run that the server's end cut off.")]
    resources: Annotated[
        tuple[str, ...], about("The named resources of which a run holds one unit each.")
    ]
    options_schema: Annotated[dict[str, Any], about("The JSON Schema of its options.")]
    result_schema: Annotated[dict[str, Any], about("The JSON Schema of its result.")] = (
        msgspec.field(default_factory=dict)
    )


class JobTypeListDocument(Document, frozen=True, kw_only=True):
    """All registered job types, by name."""

    job_types: Annotated[tuple[JobTypeDocument, ...], about("Job types.")]


class AliveDocument(Document, frozen=True, kw_only=True):
    """``GET /livez``."""

    status: Annotated[str, about("Always `alive`.")]


class ReadyDocument(Document, frozen=True, kw_only=True):
    """``GET /readyz`` when the server takes work; `reasons` is then empty."""

    status: Annotated[str, about("Always `ready`.")]
    reasons: Annotated[tuple[str, ...], about("Codes that say why not; empty.")]
    warnings: Annotated[
        tuple[str, ...],
        about("Codes of what an operator should mend all the same; doctor says more of each."),
    ]


class PausesDocument(Document, frozen=True, kw_only=True):
    """What the operator keeps from starting; what runs goes on."""

    everything: Annotated[bool, about("Nothing starts at all.")]
    users: Annotated[tuple[str, ...], about("Users whose jobs do not start.")]
    job_types: Annotated[tuple[str, ...], about("Job types whose jobs do not start.")]
    draining: Annotated[
        bool, about("New jobs are refused and none is started; what runs is finished.")
    ]

    @classmethod
    def of(cls, pauses: Pauses) -> Self:
        """Return the document of the pauses in force."""
        return cls(
            everything=pauses.everything,
            users=tuple(sorted(pauses.users)),
            job_types=tuple(sorted(pauses.job_types)),
            draining=pauses.draining,
        )


class DrainProgressDocument(Document, frozen=True, kw_only=True):
    """How far a drain is."""

    draining: Annotated[bool, about("New jobs are refused and none is started.")]
    drained: Annotated[bool, about("They are, and nothing runs any more.")]
    running: Annotated[int, about("How many jobs run.")]
    waiting: Annotated[int, about("How many jobs wait; they stay.")]


class QuantilesDocument(Document, frozen=True, kw_only=True):
    """The middle and the long end of some seconds; null when there is nothing to count."""

    p50: Annotated[float | None, about("Half took no longer.")]
    p95: Annotated[float | None, about("19 of 20 took no longer.")]


class ResourceUseDocument(Document, frozen=True, kw_only=True):
    """How much of a named resource is in use."""

    used: Annotated[int, about("Units in use.")]
    limit: Annotated[int, about("How many units there are.", rules.FROM_ONE)]
    waiting: Annotated[int, about("Runs that wait for a unit.")]


class SlotUseDocument(Document, frozen=True, kw_only=True):
    """Who holds what."""

    running: Annotated[int, about("Jobs that run now.")]
    max_running_total: Annotated[int, about("How many jobs may run in all.")]
    max_running_per_user: Annotated[int, about("How many jobs of a user may run.")]
    users: Annotated[dict[str, int], about("Slots by user.")]
    resources: Annotated[dict[str, ResourceUseDocument], about("Named resources.")]


class UserBytesDocument(Document, frozen=True, kw_only=True):
    """What is kept for one user."""

    projects: Annotated[int, about("Bytes of the copies and indexes of projects.")]
    jobs: Annotated[int, about("Bytes of the jobs' rows and log (`max_stored_bytes_per_user`).")]


class StatsDocument(Document, frozen=True, kw_only=True):
    """``GET /api/admin/stats``."""

    database_id: Annotated[
        str, about("The id of the database; a copy takes one of its own when it starts.")
    ] = ""
    version: Annotated[str, about("The version of the server.")] = ""
    by_status: Annotated[dict[str, int], about("Jobs by status.")]
    by_type: Annotated[dict[str, int], about("Jobs by type.")]
    by_user: Annotated[dict[str, int], about("Jobs by user.")]
    wait_seconds: Annotated[
        QuantilesDocument, about("From queued to started, of the newest finished jobs.")
    ]
    run_seconds: Annotated[QuantilesDocument, about("From started to finished, of the same.")]
    sample: Annotated[int, about("How many jobs these two are made of.")]
    slots: Annotated[SlotUseDocument, about("Who holds what.")]
    pauses: Annotated[PausesDocument, about("What is paused.")]
    hosts_down: Annotated[
        tuple[HostDownDocument, ...], about("Code hosts that do not answer.")
    ] = ()
    oldest_wait_seconds: Annotated[
        float, about("How long the job waits that was queued first; 0 where none does.")
    ] = 0.0
    waiters: Annotated[int, about("Requests that wait now.")]
    bytes_by_user: Annotated[
        dict[str, UserBytesDocument], about("What is kept for each user.")
    ] = msgspec.field(default_factory=dict)
    disk_free_bytes: Annotated[
        int | None, about("The room on the disk; null where nothing tells.")
    ] = None
    database_bytes: Annotated[int, about("The size of the database.")]
    wal_bytes: Annotated[int, about("The size of its write-ahead log.")]
    last_seq: Annotated[int, about("The number of the log's newest row.")]
    recovery: Annotated[Recovery, about("What the server's start found of the servers before it.")]
    last_backup_at: Annotated[
        datetime | None, about("When the newest backup was made; null without one.")
    ] = None
    retention: Annotated[
        RetentionDocument, about("How long things are kept, and what goes soon.")
    ] = msgspec.field(default_factory=RetentionDocument)


class CleanupDocument(Document, frozen=True, kw_only=True):
    """``POST /api/admin/cleanup``."""

    matched: Annotated[int, about("How many finished jobs were old enough.")]
    deleted: Annotated[int, about("How many of them are gone; 0 in a dry run.")]
    dry_run: Annotated[bool, about("Only counted, deleted nothing.")]
