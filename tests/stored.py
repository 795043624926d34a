"""Jobs as the engine would store them, for tests of stores."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.model.ids import JobId, ProjectId, UserId, make_job_id
from cidx_jobs.model.job.events import (
    Cancel,
    Complete,
    Enqueue,
    Event,
    Fail,
    Start,
    Submit,
)
from cidx_jobs.model.job.job import (
    AttemptRecord,
    Category,
    CheckpointInfo,
    DispatchKey,
    Job,
    JobError,
    JobStatus,
    JobWarning,
    Outcome,
    PhaseState,
    PhaseStatus,
    Place,
    ProgressDetail,
    Severity,
)
from cidx_jobs.model.job.key_limits import KeyLimit, LimitKey
from cidx_jobs.model.job.lifecycle import advance, record_progress
from cidx_jobs.model.listing import Change, IdempotencyRecord

NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)
KEY = DispatchKey(12.5, 3, 7)
_numbers = itertools.count(1)

AN_ERROR = JobError(
    code="NET-001",
    category=Category.NETWORK,
    severity=Severity.RECOVERABLE,
    retryable=True,
    message="the host cannot be reached",
    occurred_at=NOON,
    actions=("try again",),
)


def new_job(user_id: str = "alice", project_id: str = "code", **members: Any) -> Job:
    """Return a job that was never stored, later than all before it."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "job_id": make_job_id(1_767_000_000_000 + number // 4096, number % 4096, number),
        "job_type": "reindex",
        "user_id": UserId(user_id),
        "project_id": ProjectId(project_id),
        "status": JobStatus.CREATED,
        "version": 1,
        "priority": 5,
        "max_attempts": 3,
        "attempts_granted": 3,
        "timeout_seconds": 60.0,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Job(**(values | members))


def submitted(job: Job | None = None, **members: Any) -> Change:
    """Return the submit of a job: stored for the first time, at version 2 and queued."""
    created, first = advance(job or new_job(**members), Submit(), NOON)
    queued, second = advance(created, Enqueue(key=KEY), NOON)
    return Change(job=queued, base_version=0, transitions=(first, second))


def taken(job: Job, event: Event, **members: Any) -> Change:
    """Return the change that takes a stored job along an edge, with *members* on top."""
    after, transition = advance(job, event, job.updated_at + timedelta(seconds=1))
    return Change(
        job=replace(after, **members),
        base_version=job.version,
        transitions=(transition,),
        drops_checkpoint=bool(job.checkpoint and not after.checkpoint),
        before=job,
    )


def started(job: Job) -> Change:
    """Return the start of a queued job."""
    return taken(job, Start(epoch=1))


def completed(job: Job, result: Mapping[str, Any] | None = None) -> Change:
    """Return the end of a running job."""
    return taken(job, Complete(result=result or {}, elapsed_seconds=2.5))


def failed(job: Job) -> Change:
    """Return the failure of a running job."""
    return taken(job, Fail(error=AN_ERROR, elapsed_seconds=2.5))


def cancelled(job: Job) -> Change:
    """Return the cancellation of a job that waits."""
    return taken(job, Cancel(error=AN_ERROR, reason="not needed"))


def checkpointed(job: Job, phase: str = "reading") -> Change:
    """Return the change that a checkpoint makes of a running job."""
    info = CheckpointInfo(phase=phase, saved_at=NOON)
    return Change(job=record_progress(job, NOON, checkpoint=info), base_version=job.version)


def key_record(job_id: JobId, key: str = "k1", **members: Any) -> IdempotencyRecord:
    """Return the record of a request of Alice's that made the job."""
    first = IdempotencyRecord(
        user_id=UserId("alice"), key=key, fingerprint="f1", job_id=job_id, created_at=NOON
    )
    return replace(first, **members)


async def store(jobs: JobStore, *changes: Change) -> Job:
    """Store the changes in one transaction and return the last one's job."""
    await jobs.save_changes(changes)
    return changes[-1].job


async def store_running(jobs: JobStore, **members: Any) -> Job:
    """Store a job that runs."""
    job = await store(jobs, submitted(**members))
    return await store(jobs, started(job))


async def store_completed(jobs: JobStore, **members: Any) -> Job:
    """Store a job that has completed."""
    return await store(jobs, completed(await store_running(jobs, **members)))


def filled_job() -> Job:
    """Return a running job in which no member has its default."""
    return new_job(
        status=JobStatus.RUNNING,
        labels={"origin": "ci", "naïve": "ü"},
        options={"names": ["a", "b"], "depth": {"n": 1.5}, "none": None},
        limits=(
            KeyLimit(key=LimitKey("tenant:7", UserId("alice")), limit=3, set_at=1.25),
            KeyLimit(key=LimitKey("host:example.org", None), limit=4, set_at=2.0),
        ),
        notify=("https://ci.example.com/done",),
        attempt=2,
        run=3,
        epoch=4,
        losses=1,
        place=Place.HEAD,
        hold=True,
        schedule="nightly",
        scheduled_at=NOON + timedelta(minutes=1),
        start_at=NOON + timedelta(hours=1),
        retry_at=NOON + timedelta(hours=2),
        dispatch_key=KEY,
        progress=42,
        phase="indexing",
        message="150 of 500 files",
        progress_detail=ProgressDetail(
            done=150,
            total=500,
            unit="files",
            current_item="src/api.py",
            rate_per_second=45.25,
            eta_seconds=8.0,
            progress_at=NOON,
            waiting_for="indexing",
        ),
        phases=(
            PhaseState(
                name="git_sync",
                status=PhaseStatus.COMPLETED,
                weight=0.35,
                progress=100,
                started_at=NOON,
                finished_at=NOON + timedelta(microseconds=1),
                message="done",
                result={"commit": "0a1b"},
            ),
            PhaseState(name="indexing", weight=0.45),
        ),
        queued_at=NOON,
        started_at=NOON + timedelta(seconds=1),
        cancel_requested_at=NOON + timedelta(seconds=2),
        cancel_reason="too slow",
        checkpoint=CheckpointInfo(phase="indexing", saved_at=NOON),
        warnings=(JobWarning(code="abandoned", message="it does not stop", count=2),),
        attempts=(
            AttemptRecord(
                attempt=1,
                started_at=NOON,
                finished_at=NOON + timedelta(seconds=1),
                outcome=Outcome.FAILED,
                error=AN_ERROR,
            ),
        ),
    )


UNKNOWN = JobId("01980000-0000-7000-8000-00000000ffff")
