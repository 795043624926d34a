"""Meters of jobs: waits, runs, phases and ends, as an observer of committed transitions."""

from collections.abc import Sequence

from cidx_jobs.model.job.events import EVENT_NAMES, Interrupt, RetryLater
from cidx_jobs.model.job.job import QUEUED, RUNNING, Job, Transition, seconds_between
from cidx_jobs.runtime.meters import Meters

_OUTCOMES = {EVENT_NAMES[RetryLater]: "retried", EVENT_NAMES[Interrupt]: "interrupted"}
"""Of a run that ended when its job did not."""


class JobMeters:
    """Counts what a transition says."""

    def __init__(self, meters: Meters) -> None:
        """Take where it is counted."""
        self._meters = meters

    def __call__(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Count starts and ends."""
        for transition in transitions:
            after = transition.to_status
            if after is RUNNING:
                if transition.from_status is QUEUED:
                    self._meters.waits.add(seconds_between(job.queued_at, transition.at))
            elif transition.from_status is RUNNING or after.is_final:
                self._count_end(job, transition)

    def _count_end(self, job: Job, transition: Transition) -> None:
        meters = self._meters
        if transition.from_status is RUNNING:
            self._count_run(job)
        outcome = _OUTCOMES.get(transition.event)
        if transition.to_status.is_final:
            code = "" if job.error is None else job.error.code
            meters.count_end(job.job_type, job.status.value, code)
        elif outcome is not None:
            record = job.attempts[-1]
            code = "" if record.error is None else record.error.code
            meters.count_end(job.job_type, outcome, code)

    def _count_run(self, job: Job) -> None:
        if not job.attempts:
            return
        record = job.attempts[-1]
        self._meters.runs.add(seconds_between(record.started_at, record.finished_at))
        for phase in job.phases:
            if phase.started_at is not None and phase.finished_at is not None:
                seconds = seconds_between(phase.started_at, phase.finished_at)
                self._meters.count_phase(phase.name, seconds)
