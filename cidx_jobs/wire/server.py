"""The server as the API shows it: its queue, its job types, its counts and its health."""

from typing import Any, Self

from cidx_jobs.model.ids import JobId, ProjectId
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.model.limits import Limits, Pauses
from cidx_jobs.wire.encode import Document
from cidx_jobs.wire.findings import RecoveryDocument
from cidx_jobs.wire.job_parts import QueueDocument


class LimitsDocument(Document, frozen=True, kw_only=True):
    """The limits in force."""

    max_running_per_user: int
    max_running_total: int
    max_queued_per_user: int
    max_queued_total: int
    resources: dict[str, int]
    max_priority: int
    """The highest priority that a user may ask for; the caller's own in ``GET /api/queue``."""
    user_max_priorities: dict[str, int]
    """Users for whom it is another one; empty but for admins."""

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Give the document of the limits, as an admin sees them."""
        return cls(
            max_running_per_user=limits.max_running_per_user,
            max_running_total=limits.max_running_total,
            max_queued_per_user=limits.max_queued_per_user,
            max_queued_total=limits.max_queued_total,
            resources=dict(limits.resources),
            max_priority=limits.max_priority,
            user_max_priorities=dict(limits.user_max_priorities),
        )


class SlotsDocument(Document, frozen=True, kw_only=True):
    """Slots in use."""

    user: int
    """By the caller's jobs."""
    total: int
    resources: dict[str, int]


class WaitingJobDocument(Document, frozen=True, kw_only=True):
    """One waiting job of the caller."""

    job_id: JobId
    job_type: str
    project_id: ProjectId
    status: JobStatus
    priority: int
    queue: QueueDocument | None


class QueueOverviewDocument(Document, frozen=True, kw_only=True):
    """``GET /api/queue``."""

    limits: LimitsDocument
    running: SlotsDocument
    queued: int
    """Jobs in the queue in all."""
    jobs: tuple[WaitingJobDocument, ...]
    """The caller's waiting jobs in the order of their positions; those without one last."""


class JobTypeDocument(Document, frozen=True, kw_only=True):
    """One registered job type."""

    name: str
    exclusive: bool
    """Two runs of exclusive types in one project never overlap."""
    max_attempts: int
    timeout_seconds: float
    on_interrupt: str
    resources: tuple[str, ...]
    options_schema: dict[str, Any]
    """The JSON Schema of its options."""


class JobTypeListDocument(Document, frozen=True, kw_only=True):
    """All registered job types, by name."""

    job_types: tuple[JobTypeDocument, ...]


class AliveDocument(Document, frozen=True, kw_only=True):
    """``GET /livez``."""

    status: str


class ReadyDocument(Document, frozen=True, kw_only=True):
    """``GET /readyz`` when the server takes work; `reasons` is then empty."""

    status: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    """Codes of what an operator should mend all the same; doctor says more of each."""


class PausesDocument(Document, frozen=True, kw_only=True):
    """What the operator keeps from starting; what runs goes on."""

    everything: bool
    users: tuple[str, ...]
    job_types: tuple[str, ...]
    draining: bool
    """New jobs are refused and none is started; what runs is finished."""

    @classmethod
    def of(cls, pauses: Pauses) -> Self:
        """Give the document of the pauses in force."""
        return cls(
            everything=pauses.everything,
            users=tuple(sorted(pauses.users)),
            job_types=tuple(sorted(pauses.job_types)),
            draining=pauses.draining,
        )


class QuantilesDocument(Document, frozen=True, kw_only=True):
    """The middle and the long end of some seconds; null when there is nothing to count."""

    p50: float | None
    p95: float | None


class ResourceUseDocument(Document, frozen=True, kw_only=True):
    """How much of a named resource is in use."""

    used: int
    limit: int
    waiting: int
    """Runs that wait for a unit."""


class SlotUseDocument(Document, frozen=True, kw_only=True):
    """Who holds what."""

    running: int
    max_running_total: int
    max_running_per_user: int
    users: dict[str, int]
    resources: dict[str, ResourceUseDocument]


class StatsDocument(Document, frozen=True, kw_only=True):
    """``GET /api/admin/stats``."""

    database_id: str
    by_status: dict[str, int]
    by_type: dict[str, int]
    by_user: dict[str, int]
    wait_seconds: QuantilesDocument
    """From queued to started, of the newest finished jobs."""
    run_seconds: QuantilesDocument
    """From started to finished, of the same."""
    sample: int
    """How many jobs these two are made of."""
    slots: SlotUseDocument
    pauses: PausesDocument
    waiters: int
    """Requests that wait now."""
    database_bytes: int
    wal_bytes: int
    last_seq: int
    recovery: RecoveryDocument
    """What the server's start found of the servers before it."""


class CleanupDocument(Document, frozen=True, kw_only=True):
    """``POST /api/admin/cleanup``."""

    matched: int
    """How many finished jobs were old enough."""
    deleted: int
    """How many of them are gone; 0 in a dry run."""
    dry_run: bool
