"""One run of one job: its handler under its time-out, and exactly one end that is stored."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from functools import partial
from random import Random
from types import CoroutineType
from typing import TypeVar

from msgspec.structs import replace

from cidx_jobs.engine.run.context import RunContext, to_json_object
from cidx_jobs.engine.run.failures import Failures, log_raised, tells_of_signal
from cidx_jobs.engine.run.offspring import Manager, Offspring, find_suspension
from cidx_jobs.engine.run.progress import ProgressBook, ProgressTracker
from cidx_jobs.engine.run.run_record import (
    Broke,
    Ending,
    FoundDown,
    Interrupted,
    RunRecorder,
    Succeeded,
    Suspended,
)
from cidx_jobs.engine.run.time_limit import TimeLimit, TimeLimits
from cidx_jobs.engine.run.usage import Usage
from cidx_jobs.engine.run.work import RunWork
from cidx_jobs.engine.state.board import Board
from cidx_jobs.engine.state.record import STORE_AGAIN_SECONDS
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import (
    CURRENT_RUN,
    ActiveRun,
    CallNext,
    ChildRunner,
    JobContext,
    Middleware,
)
from cidx_jobs.interfaces.traces import Traces
from cidx_jobs.job_types import JobType, JobTypes
from cidx_jobs.model.errors import HostDownError, JobFailure, UnavailableError, ValidationError
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.model.job.job import Job, JsonObject
from cidx_jobs.model.job.key_limits import key_of_host
from cidx_jobs.model.job.retry_policy import RetryPolicy
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.foreign_code import await_foreign
from cidx_jobs.runtime.shielded import finish

T = TypeVar("T")

HELD_BACK_SECONDS = 1.0
"""How long the failure of a run is held back whose child was ended by a signal."""
ABANDONED_SECONDS = 10.0
"""A run that was told to stop and has not ended in this time is marked as abandoned."""


class Runner:
    """Runs jobs whose start is stored; what every run needs, and nothing of a single one."""

    def __init__(
        self, *, job_types: JobTypes, recorder: RunRecorder, book: ProgressBook,
        board: Board, children: ChildRunner, clock: Clock,
        retry_policy: RetryPolicy, random: Random, max_result_bytes: int,
        find_manager: Callable[[], Manager], max_children: int,
        middlewares: Sequence[Middleware] = (), traces: Traces | None = None,
    ) -> None:  # fmt: skip
        """Take the parts."""
        self.job_types = job_types
        self.recorder = recorder
        self.book = book
        self.board = board
        self.children = children
        self.clock = clock
        self.failures = Failures(clock, retry_policy, random)
        self.max_result_bytes = max_result_bytes
        self.traces = traces
        own = () if traces is None else (traces.around_run,)
        self.middlewares = (*own, *middlewares)
        self.find_manager = find_manager
        self.max_children = max_children
        self.time_limits = TimeLimits()

    def begin(self, run: ActiveRun, on_end: Callable[["RunningJob"], None]) -> "RunningJob":
        """Start the task of a run whose job is stored as running; *on_end* is its last step."""
        return RunningJob(self, run, on_end)


class RunningJob:
    """The task of one run, and what was asked of it from outside.

    The handler runs in this very task: one task a run is what a run costs at the least. So the
    task may be cancelled only while the handler runs (`is_handling`); its end is stored after.
    """

    def __init__(
        self, runner: Runner, run: ActiveRun, on_end: Callable[["RunningJob"], None]
    ) -> None:
        """Start at once."""
        self.run = run
        self.is_handling = False
        """True while the handler is at work."""
        self._on_end = on_end
        self._runner = runner
        self._job = runner.recorder.job_of(run)
        self.tracker = ProgressTracker(runner.clock, partial(runner.book.mark, run))
        self._limit = TimeLimit(runner.time_limits, self._time_out)
        self._work = RunWork(run, runner.children)
        self._context: RunContext | None = None
        self._is_cancelled = False
        self._is_interrupted = False
        self._is_timed_out = False
        self._is_given_up = False
        self._is_signal_told = False
        self._used_too_much: int | None = None
        self._times_asked = 0
        self._patience: asyncio.TimerHandle | None = None
        origin = runner.board.origins.get(run.job_id)
        self.task = asyncio.create_task(
            self._live(),
            name=f"job-{run.job_id}",
            # A copy: what one run sets, the next one does not see.
            context=None if origin is None else origin.copy(),
        )

    def cancel(self, *, again: bool = False) -> None:
        """Ask the handler to stop because somebody asked for the job's cancel.

        It is asked once for each request: *again* tells of a further one, for a handler that
        swallowed the first.
        """
        if self._is_cancelled and not again:
            return
        self._is_cancelled = True
        self._stop_handler()

    def interrupt(self) -> None:
        """Ask the handler to stop because the server stops: no blame, the job goes on later."""
        self._is_interrupted = True
        self._stop_handler()

    def give_up(self) -> None:
        """Try no more to store the end once that fails: the store is about to be closed.

        The row then stays running, and the next start gives it back.
        """
        self._is_given_up = True

    def _time_out(self) -> None:
        self._is_timed_out = True
        self._stop_handler()

    def use(self, usage: Usage) -> None:
        """Show what the run's child processes use now; stop the handler if it is too much."""
        self.tracker.set_usage(usage.memory_bytes, usage.cpu_seconds)
        job_type = self._runner.job_types.get(self._job.job_type)
        limit = None if job_type is None else job_type.max_memory_bytes
        if limit is not None and usage.memory_bytes > limit and self._used_too_much is None:
            self._used_too_much = usage.memory_bytes
            self._stop_handler()

    def _stop_handler(self) -> None:
        if not self.is_handling:
            return
        self._times_asked += 1
        if self._context is not None:
            self._context.request_stop(is_cancel=self._is_cancelled)
        self.task.cancel()
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(ABANDONED_SECONDS, self._remind)

    @property
    def _was_stopped(self) -> bool:
        over = self._is_timed_out or self._used_too_much is not None
        return self._is_cancelled or self._is_interrupted or over

    async def _live(self) -> None:
        try:
            await self._guarded(self._run_to_its_end())
        finally:
            self._on_end(self)

    async def _guarded(self, step: Awaitable[T]) -> T | Raised:
        """Return what a step of ours returns; a fault of it is told to the loop, and returned."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001 - a fault of ours, handed to the loop
            self._tell_of_fault(error)
            return Raised(error)

    async def _run_to_its_end(self) -> None:
        began = self._runner.recorder.began_at(self.run)
        ending = await self._find_ending()
        if isinstance(ending, Broke) and self._was_signalled():
            ending = await self._hold_back(ending)
        elapsed = self._runner.clock.monotonic() - began
        # From here the end itself brings the progress: a report of its own would come late.
        self._runner.book.drop(self.run)
        await self._store_end(ending, elapsed)

    async def _find_ending(self) -> Ending:
        job_type = self._runner.job_types.get(self._job.job_type)
        if job_type is None:
            text = f"job type {self._job.job_type} is not registered in this server"
            return self._runner.failures.of_code("CFG-002", text, phase=self._phase)
        ending = await self._guarded(self._reach_end(job_type))
        if isinstance(ending, Raised):
            # Whatever it is, it is an end: without one the row would be running for ever.
            text = f"the run was ended by a fault of the server: {type(ending.error).__name__}"
            return self._runner.failures.of_code("HANDLER_ERROR", text, phase=self._phase)
        return ending

    async def _reach_end(self, job_type: JobType) -> Ending:
        self._limit.start(self._job.timeout_seconds)
        self.is_handling = True
        try:
            # A handler that ignores its cancellation keeps the slot: two attempts of a job may
            # never overlap (guarantees.md, G4).
            result = await self._handle_to_the_end(job_type)
        except asyncio.CancelledError:
            return self._stopped(job_type)
        finally:
            self._limit.cancel()
            await self._end_handling()
        if isinstance(result, Raised) and not self._was_stopped:
            suspension = find_suspension(result.error)
            if suspension is not None:
                return Suspended(suspension.joins)
        if isinstance(result, Raised):
            self._is_signal_told = call_foreign(tells_of_signal, result.error) is True
            return self._failed(result, job_type)
        if self._is_timed_out:
            return self._runner.failures.of_time_out(self._job, job_type, self._phase)
        return Succeeded(result)

    def _was_signalled(self) -> bool:
        was_child_signalled = self._runner.children.take_signalled(self.run)
        return was_child_signalled or self._is_signal_told

    async def _hold_back(self, ending: Broke) -> Ending:
        """Return an interruption in place of the failure if a stop is what the signal came from.

        Whoever stops a service may tell all of its processes: a child hears of it first.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELD_BACK_SECONDS):
                await self._runner.board.stop_begun.wait()
        return self._interruption() if self._runner.board.stop_begun.is_set() else ending

    async def _end_handling(self) -> None:
        self.is_handling = False
        if self._patience is not None:
            self._patience.cancel()
        if self.task.cancelling():
            # A cancellation that the handler's own last step asked for is still on its way; it
            # was meant for the handler, not for what stores the end.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def _handle_to_the_end(self, job_type: JobType) -> JsonObject | Raised:
        try:
            return await await_foreign(self._handle, job_type)
        finally:
            # What the handler has left at work counts as the run, too.
            self._work.close()
            if self._work.is_active:
                await finish(self._work.end())

    async def _handle(self, job_type: JobType) -> JsonObject:
        if self._was_stopped:
            # Asked before the task's first step, when a cancellation would have left no code
            # to store the end.
            raise asyncio.CancelledError
        runner = self._runner
        CURRENT_RUN.set(self.run)
        saved = None
        if self._job.checkpoint is not None:
            saved = await runner.recorder.load_checkpoint(self._job.job_id)
        job = _own_copy(self._job)
        self._context = RunContext(
            job=job,
            options=await in_own_thread(job_type.read_options, job.options)
            if job_type.checks_slowly
            else job_type.read_options(job.options),
            checkpoint=None if saved is None else saved.data,
            run=self.run,
            tracker=self.tracker,
            recorder=runner.recorder,
            board=runner.board,
            children=runner.children,
            work=self._work,
            time_limit=self._limit,
            offspring=Offspring(
                self.run,
                job,
                runner.board,
                runner.find_manager,
                runner.max_children,
            ),
            traces=runner.traces,
        )
        call: CallNext = partial(self._call, job_type)
        for middleware in reversed(runner.middlewares):
            call = partial(_call_around, middleware, call)
        result = await call(self._context)
        return to_json_object(job_type.write_result(result), runner.max_result_bytes)

    async def _call(self, job_type: JobType, context: JobContext) -> object:
        if job_type.is_plain:
            result: object = await self._work.in_thread(job_type.run, context)
        else:
            result = job_type.run(context)
        # Also a plain function may be one that hands a coroutine on.
        if isinstance(result, CoroutineType) or inspect.isawaitable(result):
            return await result
        return result

    def _stopped(self, job_type: JobType) -> Ending:
        if self._is_cancelled or self._is_interrupted:
            return self._interruption()
        failures, phase = self._runner.failures, self._phase
        if self._is_timed_out:
            return failures.of_time_out(self._job, job_type, phase)
        if self._used_too_much is not None:
            used, limit = self._used_too_much, job_type.max_memory_bytes
            text = f"the job's processes used {used:,} bytes of memory; its limit is {limit:,}"
            return failures.of_code("RES-002", text, phase=phase)
        return failures.of_own_cancel(self._job, job_type, phase)

    def _failed(self, raised: Raised, job_type: JobType) -> Ending:
        error = raised.error
        is_own = isinstance(error, JobFailure)
        if isinstance(error, asyncio.CancelledError) or (self._was_stopped and not is_own):
            # What a handler raises while it is torn down is not its own failure.
            if not isinstance(error, ValidationError):
                log_raised("handler_raised", self._job, raised)
            return self._stopped(job_type)
        failure = self._runner.failures.of_error(raised, self._job, job_type, self._phase)
        if isinstance(error, HostDownError):
            return self._found_down(error, failure, job_type)
        return failure

    @property
    def _phase(self) -> str | None:
        return self.tracker.snapshot().phase

    def _found_down(
        self, error: HostDownError, failure: Broke, job_type: JobType
    ) -> FoundDown | Broke:
        key = key_of_host(error.host)
        code, silent = failure.error.code, error.silent_seconds
        if not self._runner.board.mark_host(self._job, key, code, silent):
            return failure
        return FoundDown(key, failure.error, job_type.on_interrupt)

    def _interruption(self) -> Interrupted:
        return Interrupted(self._runner.job_types[self._job.job_type].on_interrupt)

    async def _store_end(self, ending: Ending, elapsed: float) -> None:
        stored = await self._guarded(self._store(ending, elapsed, has_news=self.tracker.has_news))
        if isinstance(stored, Raised):
            # Without an end of some kind the row and its slot would be left to the next start.
            text = f"the end of the run could not be stored: {type(stored.error).__name__}"
            failure = self._runner.failures.of_code("HANDLER_ERROR", text, phase=self._phase)
            await self._store(failure, elapsed, has_news=False)

    async def _store(self, ending: Ending, elapsed: float, *, has_news: bool) -> None:
        """Store the end however long the store cannot write: the slot waits for it."""
        progress = self.tracker.snapshot() if has_news else None
        while True:
            try:
                await self._runner.recorder.end(self.run, ending, progress, elapsed)
            except UnavailableError:
                if self._is_given_up or self._is_torn_down:
                    return
                await asyncio.sleep(STORE_AGAIN_SECONDS)
                continue
            return

    @property
    def _is_torn_down(self) -> bool:
        # A program that ends without closing the system cancels every task of the loop, also the
        # one that writes: it will never be otherwise, and the next start gives the row back.
        is_cancelled = self.task.cancelling() > self._times_asked
        return is_cancelled and not self._runner.book.is_at_work

    def _tell_of_fault(self, error: Exception) -> None:
        # Nobody awaits the task, and the loop by itself would tell of it only once the collector
        # has found the task. What the loop's handler of errors raises is nothing to a run.
        context = {"message": "a run's task failed", "exception": error, "task": self.task}
        call_foreign(asyncio.get_running_loop().call_exception_handler, context)

    def _remind(self) -> None:
        # The progress book stores it; the slot stays held until the task ends.
        self.tracker.warn(
            "abandoned", "the job was told to stop and goes on; its slot is held until it ends"
        )
        # Whoever swallowed the first request is asked once more.
        self._stop_handler()


async def _call_around(middleware: Middleware, call_next: CallNext, context: JobContext) -> object:
    return await middleware(context, call_next)


def _own_copy(job: Job) -> Job:
    """Return the job with options and labels that its handler may change as it likes.

    Those of the job itself are what everybody else reads.
    """
    if not job.options and not job.labels:
        return job
    return replace(job, options=deepcopy(job.options), labels=dict(job.labels))
