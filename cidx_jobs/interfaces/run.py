"""One run of a job: what its handler is given, and who executes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import attrs
import structlog

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JsonObject


class PhaseReporter(Protocol):
    """What a job says of the phase it is in."""

    async def report(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        current_item: str | None = None,
        message: str | None = None,
        percent: float | None = None,
    ) -> None:
        """Tell how far the phase is; cheap, and stored at most every `progress_interval_seconds`.

        *percent* (0 to 100) counts before *done* of *total*.
        """

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result; it is stored when the phase ends."""


@attrs.frozen(kw_only=True)
class ChildResult:
    """How a supervised child process ended."""

    returncode: int
    stdout: str
    """At most the last 64 KiB, undecodable bytes replaced; empty where *on_line* took it."""
    stderr: str
    """At most the last 64 KiB."""


class JobContext(Protocol):
    """A handler's whole view of the job that it runs, and of the server."""

    @property
    def job(self) -> Job:
        """The job as it was when this run began."""

    @property
    def options(self) -> JsonObject:
        """The job's options."""

    @property
    def checkpoint(self) -> Any:
        """What the last `save_checkpoint` of this job stored; None at first."""

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked for the job to stop."""

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that names the job in each line."""

    async def report(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        current_item: str | None = None,
        message: str | None = None,
        percent: float | None = None,
    ) -> None:
        """Tell how far the job is; inside a phase, how far that phase is."""

    def plan(self, weights: Sequence[tuple[str, float]]) -> None:
        """Show the phases that are to come, with their shares (0 to 1) of the job."""

    def phase(self, name: str, weight: float = 0.0) -> AbstractAsyncContextManager[PhaseReporter]:
        """Enter a phase that makes up *weight* (0 to 1) of the job; one at a time."""

    async def save_checkpoint(self, data: Any) -> None:
        """Store what the next run needs to go on from here; durable when this returns.

        Raises:
            StaleRunError: this run is over; stop.
            JobFailure: *data* is not JSON (code VAL-002).
        """

    def raise_if_cancelled(self) -> None:
        """Raise `asyncio.CancelledError` once somebody asked for the job to stop."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - the contract's name; the child is killed at its end
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> ChildResult:
        """Run a child in a process group of its own, until it ends or *timeout* seconds passed.

        Its whole tree is ended (TERM, after 5 s KILL) when the time is up or the run is
        cancelled. *on_line* gets each line of its output.

        Raises:
            JobFailure: it could not be started (CFG-001), ended with another code than 0
                (CHILD_FAILED), or took too long (TIMEOUT).
        """

    def resource(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold one unit of a named resource; one at a time in a run, a second one raises.

        A resource that no limit names ends the run with the code CFG-003.
        """

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the job; equal ones are counted. Stored with the next report."""


JobHandler = Callable[[JobContext], Awaitable[JsonObject | None]]
"""What a job type does: an ``async def`` that takes its context and returns a JSON object."""


class ActiveRun(NamedTuple):
    """One run: of which job, and the number that fences its writes.

    A tuple, because it is the key of every table of runs: its hash and comparison are C.
    """

    job_id: JobId
    run: int


CURRENT_RUN: ContextVar[ActiveRun | None] = ContextVar("CURRENT_RUN", default=None)
"""The run whose handler the running code belongs to; children are counted to it."""


class Executor(Protocol):
    """Where runs happen; it decides no order, no limit and no state."""

    async def start(self) -> None:
        """Get ready to take runs."""

    async def stop(self, grace_seconds: float) -> None:
        """End every run within the grace time, by cancellation; stopping twice is fine."""

    def dispatch(self, runs: Sequence[ActiveRun]) -> None:
        """Begin the runs, whose jobs are stored as running."""

    def cancel(self, run: ActiveRun, *, again: bool = False) -> None:
        """Ask the run's task to end; its end is reported as every end is.

        One request is passed on once, however often it is told; *again* is a further one.
        """

    def lost(self, held: Sequence[Job]) -> Sequence[ActiveRun]:
        """Return which runs of these running jobs will never end (at start: all older epochs')."""
