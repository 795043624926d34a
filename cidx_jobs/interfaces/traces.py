"""Spans of runs: what the engine lets be traced while a handler is at work."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cidx_jobs.interfaces.run import CallNext, JobContext
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, Transition


class Traces(Protocol):
    """Makes a span of each run, and one of each of its phases."""

    def note(self, job: Job, transitions: Sequence[Transition]) -> None:
        """Begin the span of a run that is stored as started, or end that of one that ended."""

    async def around_run(self, context: JobContext[Any], call_next: CallNext) -> Any:
        """Go on with the run, within its span."""

    def around_phase(self, job_id: JobId, name: str) -> AbstractContextManager[None]:
        """Make a span of what is done within, on the thread or task that enters."""

    def close(self) -> None:
        """End the spans of runs whose ends will not be told any more."""
