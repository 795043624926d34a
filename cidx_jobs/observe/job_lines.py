"""Log lines of jobs: one at info for each, at its end, with its whole story.

An attempt that will be tried again is a warning, and so is the end of a job that failed. A run
that takes long is told of while it runs; each single transition at debug.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

import msgspec

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.events import EVENT_NAMES, RetryLater
from cidx_jobs.model.job.job import (
    FAILED,
    RUNNING,
    AttemptRecord,
    Job,
    JobStatus,
    Transition,
    seconds_between,
)
from cidx_jobs.runtime.log import TypedLog, clean_text

LONG_RUN_SECONDS = 10.0
"""A run that has taken so long has a line of its own; shorter ones are in that of their end."""

_RETRY_LATER = EVENT_NAMES[RetryLater]


class JobLines:
    """Writes the lines of jobs, as an observer of their committed transitions."""

    def __init__(self, long_run_seconds: float = LONG_RUN_SECONDS) -> None:
        """Belong to the running loop; `close` ends it."""
        self._log = TypedLog("jobs")
        self._long_runs = _LongRuns(self._log, long_run_seconds)

    def __call__(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Log what the transitions call for."""
        log = self._log
        is_debugging = log.is_enabled_for(logging.DEBUG)
        for transition in transitions:
            if is_debugging:
                log.write(logging.DEBUG, "job_changed", _change(job, transition))
            after = transition.to_status
            if transition.from_status is RUNNING:
                self._long_runs.ended(job.job_id)
            if after is RUNNING:
                if log.is_enabled_for(logging.INFO):
                    self._long_runs.began(job)
            elif after.is_final:
                self._tell_end(job)
            elif transition.event == _RETRY_LATER and log.is_enabled_for(logging.WARNING):
                log.write(logging.WARNING, "job_retried", _retried(job, job.attempts[-1]))

    def close(self) -> None:
        """Tell of no run any more."""
        self._long_runs.close()

    def _tell_end(self, job: Job) -> None:
        if job.status is FAILED:
            if self._log.is_enabled_for(logging.WARNING):
                self._log.write(logging.WARNING, "job_failed", _ended(job))
        elif self._log.is_enabled_for(logging.INFO):
            self._log.write(logging.INFO, "job_ended", _ended(job))


class _LongRuns:
    """The runs that are at work, by their age: a timer looks at the oldest."""

    def __init__(self, log: TypedLog, seconds: float) -> None:
        self._log = log
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._runs: dict[JobId, tuple[float, Job]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def began(self, job: Job) -> None:
        if job.status is not RUNNING:
            # What started and ended in one commit has its line already.
            return
        self._runs.pop(job.job_id, None)
        self._runs[job.job_id] = (self._loop.time() + self._seconds, job)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def ended(self, job_id: JobId) -> None:
        self._runs.pop(job_id, None)

    def close(self) -> None:
        self._runs.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._runs:
            job_id, (due, job) = next(iter(self._runs.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                return
            del self._runs[job_id]
            self._log.write(logging.INFO, "job_started", _started(job))


class _JobLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every line of a job names."""

    job_id: str
    job_type: str
    user_id: str
    project_id: str


class _JobChanged(_JobLine, frozen=True, kw_only=True, omit_defaults=True):
    transition: str
    status: JobStatus
    version: int
    attempt: int


class _JobStarted(_JobLine, frozen=True, kw_only=True, omit_defaults=True):
    attempt: int
    started_at: datetime | None
    wait_seconds: float


class _JobRetried(_JobLine, frozen=True, kw_only=True, omit_defaults=True):
    attempt: int
    run_seconds: float
    retry_at: datetime | None
    code: str | None = None
    message: str | None = None


class _JobEnded(_JobLine, frozen=True, kw_only=True, omit_defaults=True):
    status: JobStatus
    wait_seconds: float
    run_seconds: float
    attempts: int
    attempt: int | None = None
    code: str | None = None
    message: str | None = None
    phase_seconds: dict[str, float] | None = None


def _change(job: Job, transition: Transition) -> _JobChanged:
    return _JobChanged(
        job_id=job.job_id,
        job_type=clean_text(job.job_type),
        user_id=clean_text(job.user_id),
        project_id=clean_text(job.project_id),
        transition=transition.event,
        status=transition.to_status,
        version=transition.version,
        attempt=transition.attempt,
    )


def _started(job: Job) -> _JobStarted:
    return _JobStarted(
        job_id=job.job_id,
        job_type=clean_text(job.job_type),
        user_id=clean_text(job.user_id),
        project_id=clean_text(job.project_id),
        attempt=job.attempt,
        started_at=job.started_at,
        wait_seconds=seconds_between(job.queued_at, job.started_at),
    )


def _retried(job: Job, record: AttemptRecord) -> _JobRetried:
    error = record.error
    return _JobRetried(
        job_id=job.job_id,
        job_type=clean_text(job.job_type),
        user_id=clean_text(job.user_id),
        project_id=clean_text(job.project_id),
        attempt=record.attempt,
        run_seconds=seconds_between(record.started_at, record.finished_at),
        retry_at=job.retry_at,
        code=None if error is None else clean_text(error.code),
        message=None if error is None else clean_text(error.message),
    )


def _ended(job: Job) -> _JobEnded:
    error = job.error
    return _JobEnded(
        job_id=job.job_id,
        job_type=clean_text(job.job_type),
        user_id=clean_text(job.user_id),
        project_id=clean_text(job.project_id),
        status=job.status,
        wait_seconds=seconds_between(
            job.queued_at or job.created_at, job.started_at or job.finished_at
        ),
        run_seconds=seconds_between(job.started_at, job.finished_at),
        attempts=job.attempt,
        attempt=job.attempt if job.status is FAILED else None,
        code=None if error is None else clean_text(error.code),
        message=None if error is None else clean_text(error.message),
        phase_seconds=_phase_seconds(job) if job.phases else None,
    )


def _phase_seconds(job: Job) -> dict[str, float]:
    return {
        clean_text(phase.name): seconds_between(phase.started_at, phase.finished_at)
        for phase in job.phases
        if phase.started_at is not None
    }
