"""The made-up job, user and project of all examples, and what documents of that job look like."""

from datetime import UTC, datetime

from msgspec.structs import replace

from cidx_jobs.model.ids import UserId
from cidx_jobs.model.job.job import (
    CheckpointInfo,
    Job,
    JobStatus,
    PhaseState,
    PhaseStatus,
    ProgressDetail,
    Transition,
)
from cidx_jobs.model.job.queue_status import QueueStatus
from cidx_jobs.model.listing import Project
from cidx_jobs.web.http.problems import SAMPLE_JOB_ID, SAMPLE_PROJECT_ID
from cidx_jobs.wire.jobs import (
    CancelledJobDocument,
    JobDocument,
    ListedJobDocument,
    StatusDocument,
)
from cidx_jobs.wire.server import LimitsDocument

PREFIX = "/api"
JOB_ID = SAMPLE_JOB_ID
PROJECT_ID = SAMPLE_PROJECT_ID
COMMIT = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
URL = "https://example.com/team/code-indexer.git"
ALICE = UserId("alice")
DATABASE_ID = "0b7e7bb8-1d4c-4d62-9c05-4f1b7b2f4f10"


def at(minute: int, second: int) -> datetime:
    """Return a time of the one hour in which all of it happens."""
    return datetime(2026, 1, 31, 12, minute, second, tzinfo=UTC)


QUEUED_JOB = Job(
    job_id=JOB_ID,
    job_type="repository_sync",
    user_id=ALICE,
    project_id=PROJECT_ID,
    status=JobStatus.QUEUED,
    version=2,
    priority=5,
    labels={"origin": "ci"},
    options={
        "repository_url": URL,
        "branch": "main",
        "full_reindex": False,
        "skip_indexing": False,
    },
    max_attempts=3,
    attempts_granted=3,
    timeout_seconds=3600.0,
    created_at=at(0, 0),
    queued_at=at(0, 0),
    updated_at=at(0, 0),
)
PROJECT = Project(
    user_id=ALICE,
    project_id=PROJECT_ID,
    repository_url=URL,
    branch="main",
    default_branch="main",
    last_commit=COMMIT,
    last_synced_at=at(3, 2),
    last_job_id=JOB_ID,
    files_indexed=500,
    repository_bytes=4_194_304,
    index_bytes=9_437_184,
    changed_at=at(3, 2),
    sync_every_seconds=600,
)
PLACE = QueueStatus(
    position=3, length=10, blocked_by=("user_limit",), estimated_wait_seconds=(20.0, 90.0)
)
_RUNNING_JOB = replace(
    QUEUED_JOB,
    status=JobStatus.RUNNING,
    version=7,
    attempt=1,
    started_at=at(0, 4),
    updated_at=at(1, 30),
    progress=53,
    phase="indexing",
    message="150 of 500 files",
    progress_detail=ProgressDetail(
        done=150,
        total=500,
        unit="files",
        current_item="src/api.py",
        rate_per_second=45.2,
        eta_seconds=8.0,
        progress_at=at(1, 30),
    ),
    phases=(
        PhaseState(
            name="git_sync",
            status=PhaseStatus.COMPLETED,
            weight=0.4,
            progress=100,
            started_at=at(0, 4),
            finished_at=at(1, 20),
            result={"commit": COMMIT},
        ),
        PhaseState(
            name="indexing",
            status=PhaseStatus.RUNNING,
            weight=0.6,
            progress=30,
            started_at=at(1, 20),
        ),
    ),
    checkpoint=CheckpointInfo(phase="indexing", saved_at=at(1, 25)),
)
_STOPPING_JOB = replace(
    _RUNNING_JOB, version=8, cancel_requested_at=at(1, 40), cancel_reason="not needed any more"
)

JOB_QUEUED = JobDocument.of(QUEUED_JOB, PLACE, PREFIX)
JOB_RUNNING = JobDocument.of(_RUNNING_JOB, None, PREFIX)
JOB_STOPPING = JobDocument.of(_STOPPING_JOB, None, PREFIX)
JOB_DELETED = CancelledJobDocument.of(_STOPPING_JOB, None, PREFIX)
JOB_LISTED = ListedJobDocument.of(_RUNNING_JOB, None, PREFIX)
STATUS = StatusDocument.of(_RUNNING_JOB, None)

ENQUEUED = Transition(
    job_id=JOB_ID,
    user_id=ALICE,
    version=2,
    event="enqueue",
    from_status=JobStatus.CREATED,
    to_status=JobStatus.QUEUED,
    at=at(0, 0),
    attempt=0,
    run=0,
    sequence=1021,
)
LIMITS = LimitsDocument(
    max_running_per_user=10,
    max_running_total=50,
    max_queued_per_user=1_000,
    max_queued_total=100_000,
    resources={"git": 10, "indexing": 4},
    max_priority=9,
    user_max_priorities={},
)
