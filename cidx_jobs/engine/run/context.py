"""What a handler sees of its run: `JobContext`, over the parts of the engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from functools import partial
from typing import Any, TypeVar

import structlog

from cidx_jobs.engine.run.offspring import Offspring
from cidx_jobs.engine.run.progress import ProgressTracker
from cidx_jobs.engine.run.run_record import RunRecorder
from cidx_jobs.engine.run.time_limit import TimeLimit
from cidx_jobs.engine.run.work import RunWork
from cidx_jobs.engine.state.board import Board
from cidx_jobs.interfaces.run import (
    ActiveRun,
    ChildResult,
    ChildRunner,
    PhaseReporter,
    SyncJobContext,
)
from cidx_jobs.interfaces.traces import Traces
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.foreign import plain_json
from cidx_jobs.model.job.job import Job, JsonObject, PhaseStatus
from cidx_jobs.model.job.key_limits import key_of_host
from cidx_jobs.model.job.packed import count_bytes
from cidx_jobs.model.job.submit import JobTypeLike
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.runtime.loops import find_running_loop

T = TypeVar("T")


class SyncPhase:
    """The reporter of one phase, for a thread."""

    def __init__(self, phase: PhaseReporter, context: "SyncContext") -> None:
        """Take the reporter, and what calls it on the loop."""
        self._phase = phase
        self._context = context

    def report(self, **progress: Any) -> None:
        """Tell how far the phase is, as `PhaseReporter.report`."""
        self._context.ask(lambda: self._phase.report(**progress))

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result, as `PhaseReporter.finish`."""
        self._phase.finish(result)


class SyncContext:
    """What a thread of a run tells and stores; each call waits for the loop to have done it."""

    def __init__(self, context: "RunContext", loop: asyncio.AbstractEventLoop) -> None:
        """Speak to the run's context, on its loop."""
        self._context = context
        self._loop = loop

    def report(self, **progress: Any) -> None:
        """Tell how far the job is, as `JobContext.report`."""
        self.ask(lambda: self._context.report(**progress))

    @contextmanager
    def phase(self, name: str, weight: float = 0.0) -> Iterator[SyncPhase]:
        """Enter a phase, as `JobContext.phase`."""
        phase = self._context.untraced_phase(name, weight)
        reporter = self.ask(phase.__aenter__)
        try:
            with self._context.span_of(name):
                yield SyncPhase(reporter, self)
        except BaseException as error:
            self.ask(partial(phase.__aexit__, type(error), error, error.__traceback__))
            raise
        self.ask(partial(phase.__aexit__, None, None, None))

    def save_checkpoint(self, data: Any) -> None:
        """Store what the next run needs; durable when this returns."""
        self.ask(lambda: self._context.save_checkpoint(data))

    def raise_if_cancelled(self) -> None:
        """Raise `asyncio.CancelledError` once the run was told to stop."""
        self._context.raise_if_cancelled()

    def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* gives on the loop, called from another thread."""
        if find_running_loop() is self._loop:
            message = "context.sync is for threads: await the context's own methods on the loop"
            raise RuntimeError(message)
        return asyncio.run_coroutine_threadsafe(_awaited(call), self._loop).result()


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


class PhaseContext:
    """The reporter of one phase."""

    def __init__(self, context: "RunContext") -> None:
        """Report through the run's context."""
        # What it says of the job it says of the phase that the job is in.
        self.report = context.report
        self.result: JsonObject | None = None

    def finish(self, result: JsonObject) -> None:
        """Keep *result* as the phase's result; it is stored when the phase ends."""
        self.result = to_json_object(result)


class RunContext:
    """One run's view of its job and the server; valid until the run ends."""

    def __init__(
        self, *, job: Job, options: Any, checkpoint: Any, run: ActiveRun, tracker: ProgressTracker,
        recorder: RunRecorder, board: Board, children: ChildRunner, work: RunWork,
        time_limit: TimeLimit, offspring: Offspring, traces: Traces | None,
    ) -> None:  # fmt: skip
        """Take the parts of this one run."""
        self._job = job
        self._options = options
        self._checkpoint = checkpoint
        self._run = run
        self._tracker = tracker
        self._recorder = recorder
        self._board = board
        self._children = children
        self._work = work
        self._time_limit = time_limit
        self._offspring = offspring
        self._traces = traces
        self._loop = asyncio.get_running_loop()
        self._cancel_requested = False
        self._stop_requested = False

    @property
    def job(self) -> Job:
        """The job as it was when this run began."""
        return self._job

    @property
    def options(self) -> Any:
        """The job's options: an instance of the job type's class, else a JSON object."""
        return self._options

    @property
    def checkpoint(self) -> Any:
        """What the last `save_checkpoint` of this job stored; None at first."""
        return self._checkpoint

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked for the job's cancel."""
        return self._cancel_requested

    @property
    def sync(self) -> SyncJobContext:
        """The same for a thread, without awaits."""
        # Made for those who ask: kept, the two would hold each other until the garbage collector
        # finds them, after every run.
        return SyncContext(self, self._loop)

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that names the job in each line."""
        return get_logger("handlers").bind(job_id=self._job.job_id, job_type=self._job.job_type)

    def request_stop(self, *, is_cancel: bool) -> None:
        """Let `raise_if_cancelled` tell of the request, and `cancel_requested` of a cancel."""
        self._stop_requested = True
        self._cancel_requested = self._cancel_requested or is_cancel

    def raise_if_cancelled(self) -> None:
        """Raise `asyncio.CancelledError` once the run was told to stop."""
        if self._stop_requested:
            raise asyncio.CancelledError

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
        self._tracker.report(
            done=done,
            total=total,
            unit=unit,
            current_item=current_item,
            message=message,
            part=percent,
        )

    def plan(self, weights: Sequence[tuple[str, float]]) -> None:
        """Show the phases that are to come, with their shares of the whole."""
        self._tracker.plan(weights)

    def phase(self, name: str, weight: float = 0.0) -> AbstractAsyncContextManager[PhaseReporter]:
        """Enter a phase that makes up *weight* (0 to 1) of the job; one at a time."""
        if self._traces is None:
            return self.untraced_phase(name, weight)
        return self._traced_phase(name, weight)

    @asynccontextmanager
    async def _traced_phase(self, name: str, weight: float) -> AsyncIterator[PhaseReporter]:
        async with self.untraced_phase(name, weight) as phase:
            with self.span_of(name):
                yield phase

    def span_of(self, phase: str) -> AbstractContextManager[None]:
        """Make a span of what is done within, as a phase's, on this thread or task."""
        if self._traces is None:
            return nullcontext()
        return self._traces.around_phase(self._job.job_id, phase)

    @asynccontextmanager
    async def untraced_phase(self, name: str, weight: float) -> AsyncIterator[PhaseReporter]:
        """Enter a phase that makes no span: the task that enters it is not that of its work."""
        self._tracker.enter(name, weight)
        phase = PhaseContext(self)
        try:
            yield phase
        except BaseException:
            self._tracker.leave(PhaseStatus.FAILED, phase.result)
            raise
        self._tracker.leave(PhaseStatus.COMPLETED, phase.result)

    async def save_checkpoint(self, data: Any) -> None:
        """Store what the next run needs to go on from here; durable when this returns."""
        await self._recorder.save_checkpoint(self._run, to_json(data), self._tracker.snapshot())

    async def run(self, argv: Sequence[str], **how: Any) -> ChildResult:
        """Run a supervised child process."""
        return await self._children.run(argv, **how)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a thread that counts as the run."""
        return await self._work.in_thread(function, *arguments)

    async def in_process(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what *function* returns, called in a process that dies with the run."""
        return await self._work.in_process(function, *arguments)

    async def submit(
        self, job_type: str | JobTypeLike[Any], project_id: str, *, key: str, **members: Any
    ) -> Job:
        """Make a child, once for each key."""
        return await self._offspring.submit(job_type, project_id, key=key, **members)

    async def join(self, *job_ids: str) -> Sequence[Job]:
        """Return children once all of them are done."""
        return await self._offspring.join(job_ids)

    async def map(
        self,
        job_type: str | JobTypeLike[Any],
        children: Mapping[str, object],
        *,
        project_id: str | None = None,
        **members: Any,
    ) -> list[Any]:
        """Make a child for each key, and return their results once all of them are done."""
        project = self._job.project_id if project_id is None else project_id
        return await self._offspring.map(job_type, children, project_id=project, **members)

    def resource(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold one unit of a named resource; one at a time in a run, a second one raises.

        What it takes to get it does not count against the time-out.
        """
        return self._board.hold_resource(name, self._job.job_id, partial(self._waiting_for, name))

    def note_host_answer(self, host: str) -> None:
        """Tell that a code host has answered: jobs that wait for it go on."""
        self._board.outages.answer(key_of_host(host))

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the job; equal ones are counted."""
        self._tracker.warn(code, message)

    @contextmanager
    def _waiting_for(self, resource: str) -> Iterator[None]:
        self._tracker.wait_for(resource)
        try:
            with self._time_limit.paused():
                yield
        finally:
            self._tracker.wait_for(None)


def to_json(value: Any) -> Any:
    """Return *value* as plain JSON values.

    Raises:
        JobFailure: it is not JSON (code VAL-002).
    """
    try:
        return plain_json(value)
    except ValueError as error:
        message = f"what the job's code gave: {error}"
        raise JobFailure(message, code="VAL-002") from error


def to_json_object(value: Any, max_bytes: int | None = None) -> JsonObject:
    """Return *value* as a JSON object; None becomes ``{}``.

    Raises:
        JobFailure: it is not a JSON object (code VAL-002), or has more than *max_bytes* as JSON
            text (RESULT_TOO_LARGE).
    """
    plain = to_json({} if value is None else value)
    if max_bytes is not None and (size := count_bytes(plain)) > max_bytes:
        message = f"the result has {size:,} bytes, and max_result_bytes is {max_bytes:,}"
        raise JobFailure(message, code="RESULT_TOO_LARGE")
    if not isinstance(plain, dict):
        message = "the job's code gave something that is not a JSON object"
        raise JobFailure(message, code="VAL-002")
    return plain
