"""One run of a job: what its handler is given, and who executes it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

import msgspec
import structlog
from typing_extensions import TypeVar

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.job.job import Job, JsonObject
from cidx_jobs.model.job.submit import JobTypeLike

T = TypeVar("T")
ResultT = TypeVar("ResultT")
OptionsT_co = TypeVar("OptionsT_co", covariant=True, default=Any)
"""The class of a job type's options; any JSON object where it has none."""


class Reporter(Protocol):
    """What a job says of its progress."""

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
        """Tell how far the phase is, or the job where it is in none.

        It is cheap: it is stored at most every `progress_interval_seconds`. *percent* (0 to 100)
        counts before *done* of *total*.
        """


class PhaseReporter(Reporter, Protocol):
    """What a job says of the phase it is in."""

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result; it is stored when the phase ends."""


class ChildResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervised child process ended."""

    returncode: int
    stdout: str
    """At most the last 64 KiB, undecodable bytes replaced; empty where *on_line* took it."""
    stderr: str
    """At most the last 64 KiB."""


class ChildStarter(Protocol):
    """What runs supervised child processes."""

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
            TypeError: *argv* is no list of a program and its arguments.
        """


class JobContext(Reporter, ChildStarter, Protocol[OptionsT_co]):
    """A handler's whole view of the job that it runs, and of the server.

    ``JobContext[ReindexOptions]`` is that of a job type with ``options=ReindexOptions``.
    """

    @property
    def job(self) -> Job:
        """The job as it was when this run began."""

    @property
    def options(self) -> OptionsT_co:
        """The job's options: an instance of the job type's class, else a JSON object."""

    @property
    def checkpoint(self) -> Any:
        """What the last `save_checkpoint` of this job stored; None at first."""

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked for the job's cancel; what it keeps is of no use then.

        A run that its time-out or the server's stop ends goes on later: `raise_if_cancelled`
        tells of these, too.
        """

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that names the job in each line."""

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
        """Raise `asyncio.CancelledError` once the run was told to stop.

        A thread is told by nothing else: call it, or `sync.raise_if_cancelled`, now and then.
        """

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a thread that counts as the run.

        No thread can be ended from outside. Whoever is cancelled here goes on waiting for it: the
        run holds its slot until the thread has ended, and nothing of the job starts beside it.
        (`asyncio.to_thread` is outside of that: its thread may go on beside the next attempt.)

        Raises:
            StaleRunError: this run is over.
        """

    async def in_process(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a new process that dies with the run.

        The function, its arguments and what it returns or raises are pickled; the process is
        spawned, so that the function must be importable. A cancel kills the process at once, and
        so does the end of the server, however it ends.

        Raises:
            StaleRunError: this run is over.
            JobFailure: the process could not be started (CFG-001), or died before it was done
                (CHILD_FAILED).
        """

    @property
    def sync(self) -> "SyncJobContext":
        """The same for a thread: a plain ``def`` handler, or what `in_thread` calls."""

    async def submit(
        self,
        job_type: str | JobTypeLike[Any],
        project_id: str,
        *,
        key: str,
        options: object = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        start_at: datetime | None = None,
        hold: bool = False,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> Job:
        """Make a child of this job, once for each *key*, also when the run is repeated.

        It is a job of the same user's, at this job's priority if none is given. A cancel of this
        job cancels it.

        Raises:
            ValidationError: an argument is wrong, or the job has `max_children` already.
            StaleRunError: this run is over.
        """

    async def join(self, *job_ids: str) -> Sequence[Job]:
        """Return these children, failed ones too, once all are done; without ids all there are.

        Until then the run ends as suspended, without a slot and without blame: the handler
        begins again from its checkpoint when they are done. Nothing after this call is reached
        before.

        Raises:
            ValidationError: one is no child of this job.
        """

    @overload
    async def map(
        self,
        job_type: JobTypeLike[ResultT],
        children: Mapping[str, object],
        *,
        project_id: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> list[ResultT]: ...

    @overload
    async def map(
        self,
        job_type: str,
        children: Mapping[str, object],
        *,
        project_id: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> list[JsonObject]: ...

    async def map(
        self,
        job_type: str | JobTypeLike[Any],
        children: Mapping[str, object],
        *,
        project_id: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> list[Any]:
        """Make a child for each key, join them, and return their results in the keys' order.

        As with `submit` and `join`, of which it consists: a child is made once for its key, also
        over crashes, and the run ends as suspended until all of them are done.

        Args:
            job_type: what the children are: the name of a registered type, or the `JobType`;
                with that a result is an instance of its class.
            children: the options of each child by its key, 1 to 255 characters with the type's
                name. Children of another type may have the same keys.
            project_id: which project of the user's; that of this job if None.
            priority: 0 to 9; that of this job if None.
            max_attempts: how often each is tried; the type's or the server's if None.
            timeout_seconds: the longest a run may take; the type's or the server's if None.
            labels: the caller's own marks.
            limits: keys, and how many of the user's jobs with each may run at a time.

        Raises:
            JobFailedError: all are done, and one failed (the first in order). A run that lets
                this through is not tried again: each attempt would find the same child.
            JobCancelledError: the same, and it was cancelled.
            ValidationError: an argument is wrong, or the job has `max_children` already.
            StaleRunError: this run is over.
        """

    def resource(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold one unit of a named resource; one at a time in a run, a second one raises.

        A resource that no limit names ends the run with the code CFG-003.
        """

    def note_host_answer(self, host: str) -> None:
        """Tell that a code host has answered: jobs that wait for it, as it was down, go on.

        *host* is its name, with ``:port`` unless that is the scheme's own; of a host that is down
        `HostDownError` tells.
        """

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the job; equal ones are counted. Stored with the next report."""


class SyncReporter(Protocol):
    """What a thread says of its job's progress."""

    def report(
        self,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        current_item: str | None = None,
        message: str | None = None,
        percent: float | None = None,
    ) -> None:
        """Tell how far the phase is, or the job where it is in none, as `JobContext.report`."""


class SyncPhaseReporter(SyncReporter, Protocol):
    """What a thread says of the phase that its job is in."""

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result, as `PhaseReporter.finish`."""


class SyncJobContext(SyncReporter, Protocol):
    """What a thread of a run tells and stores; each call returns once that is done.

    On the loop's own thread each of them but `raise_if_cancelled` raises RuntimeError.
    """

    def phase(self, name: str, weight: float = 0.0) -> AbstractContextManager[SyncPhaseReporter]:
        """Enter a phase, as `JobContext.phase`."""

    def save_checkpoint(self, data: Any) -> None:
        """Store what the next run needs, as `JobContext.save_checkpoint`."""

    def raise_if_cancelled(self) -> None:
        """Raise `asyncio.CancelledError` once the run was told to stop."""


JobHandler = Callable[[JobContext[Any]], object]
"""What a job type does: it takes its context and returns a JSON object, or what is made into one.

An ``async def``, or a plain ``def``, which is called in a thread of its own.
"""


CallNext = Callable[[JobContext[Any]], Awaitable[Any]]
"""Goes on with the run: the next middleware, at last the handler; gives what that returned."""

Middleware = Callable[[JobContext[Any], CallNext], Awaitable[Any]]
"""What stands around each run: it awaits ``call_next(context)`` and returns what that gives.

Whatever the run raises, its cancellation among it, is raised there.
"""


class ActiveRun(NamedTuple):
    """One run: of which job, and the number that fences its writes.

    A tuple, because it is the key of every table of runs: its hash and comparison are C.
    """

    job_id: JobId
    run: int


CURRENT_RUN: ContextVar[ActiveRun | None] = ContextVar("CURRENT_RUN", default=None)
"""The run whose handler the running code belongs to; children are counted to it."""


class ChildRunner(ChildStarter, Protocol):
    """Runs supervised child processes; the one part that may start any."""

    def find_by_run(self) -> Mapping[ActiveRun, Sequence[int]]:
        """Return the process ids of the children that run now, by the run that started them."""

    def take_signalled(self, run: ActiveRun) -> bool:
        """Return whether a signal that was not ours ended a child of the run, and forget it."""

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a process of its own."""


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
