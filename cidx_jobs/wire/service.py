"""The server as the API shows it: its queue, its job types, its counts and its health."""

from typing import Any

from cidx_jobs.model.ids import JobId, ProjectId
from cidx_jobs.model.job import JobStatus
from cidx_jobs.wire.coding import Document
from cidx_jobs.wire.parts import QueueDocument


class LimitsDocument(Document, frozen=True, kw_only=True):
    """The limits in force."""

    max_running_per_user: int
    max_running_total: int
    max_queued_per_user: int
    max_queued_total: int
    resources: dict[str, int]
    max_priority: int
    """The caller's own."""


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
