"""A run ends, whatever its code raises: its slot comes back, and the reason is logged (G17)."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from cidx_jobs import (
    Job,
    JobContext,
    JobStatus,
    JobSystem,
    JobType,
    Retryable,
    RetryPolicy,
    Settings,
)
from cidx_jobs.model.job.job import Transition
from tests.fakes import WAIT_SECONDS, logged

Handler = Callable[[JobContext], Awaitable[Any]]


class PanicError(BaseException):
    """What an extension written in Rust raises: no `Exception`."""


class MuteError(PanicError):
    """An error whose own text cannot be had."""

    def __str__(self) -> str:
        raise PanicError


class BadRetryableError(Retryable):
    """A failure whose members cannot be read."""

    @property
    def message(self) -> str:
        """Raise."""
        raise PanicError

    @message.setter
    def message(self, _: str) -> None:
        """Take it, as the class above does."""


ANYTHING = (
    ValueError("v"),
    PanicError("called `Option::unwrap()` on a `None` value"),
    MuteError(),
    BadRetryableError("x"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    BaseExceptionGroup("g", [SystemExit(3)]),
)


def make_jobs(folder: Path, handler: Handler, **rules: Any) -> JobSystem:
    """Build a system with one job type and one slot, which waits for nothing."""
    settings = Settings(
        data_dir=folder / "data",
        max_running_total=1,
        retry_base_seconds=0,
        shutdown_grace_seconds=0,
    )
    return JobSystem(settings, [JobType("any", handler, **{"max_attempts": 2} | rules)])


async def run_one(jobs: JobSystem) -> Job:
    """Run a job to its end."""
    job = await jobs.submit("alice", "p", job_type="any")
    return await jobs.wait(job.job_id, timeout=WAIT_SECONDS)


@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["handler", "phase", "on_line", "result", "resource"])
async def test_whatever_is_raised_ends_the_run(
    error: BaseException, place: str, tmp_path: Path
) -> None:
    """It is tried again as often as it may be, fails, and the next job has its slot."""

    def fail(*_: object) -> None:
        raise error

    @dataclasses.dataclass
    class Unreadable:
        member: int

        def __getattribute__(self, name: str) -> object:
            if name == "member":
                fail()
            return object.__getattribute__(self, name)

    async def handler(context: JobContext) -> object:
        match place:
            case "handler":
                fail()
            case "phase":
                async with context.phase("p"):
                    fail()
            case "on_line":
                program = ["echo", "line"]
                await context.run(program, timeout=20, on_line=fail)
            case "resource":
                async with context.resource("git"):
                    fail()
            case _:
                return {"x": Unreadable(1)}
        return {}

    async with make_jobs(tmp_path, handler) as jobs:
        first, second = await run_one(jobs), await run_one(jobs)
        findings = await jobs.examine()

    assert first.status is second.status is JobStatus.FAILED
    assert [record.outcome for record in first.attempts][-1] == "failed"
    assert findings == []


@pytest.mark.parametrize("error", [PanicError("p"), SystemExit(3), asyncio.CancelledError()])
async def test_what_is_raised_is_logged_with_its_traceback(
    error: BaseException, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wrote the handler finds the line."""

    async def fail_here(_: JobContext) -> None:
        raise error

    async with make_jobs(tmp_path, fail_here, max_attempts=1) as jobs:
        job = await run_one(jobs)

    [line] = [one for one in caplog.messages if one.startswith("handler_raised")]
    assert job.job_id in line
    assert type(error).__name__ in line
    assert "in fail_here" in line


@attrs.frozen
class AnyPolicy(RetryPolicy):
    """A policy that raises, or chooses what is no time."""

    choose: Callable[[], Any] = attrs.field(kw_only=True)

    def backoff_seconds(self, failed_attempts: int, fraction: float) -> float:
        """Do what it was made for."""
        del failed_attempts, fraction
        seconds: float = self.choose()
        return seconds


def panic() -> None:
    """Raise what is no `Exception`."""
    raise PanicError


@pytest.mark.parametrize(
    "choose",
    [panic, lambda: "soon", lambda: None, lambda: float("nan")],
    ids=["raises", "text", "none", "nan"],
)
async def test_a_policy_that_chooses_no_time_is_logged_and_the_servers_is_asked(
    choose: Callable[[], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is tried again all the same."""

    async def fail(_: JobContext) -> None:
        raise ValueError

    async with make_jobs(tmp_path, fail, retry=AnyPolicy(choose=choose)) as jobs:
        job = await run_one(jobs)

    assert job.attempt == 2
    assert "retry_policy_raised" in logged(caplog)


@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
async def test_a_hook_that_raises_keeps_no_other_from_hearing(
    error: BaseException, tmp_path: Path
) -> None:
    """The hooks after it are told, and it is told of the next transition again."""
    heard: list[str] = []
    tried = 0

    async def idle(_: JobContext) -> None:
        return None

    jobs = make_jobs(tmp_path, idle)

    @jobs.on_transition
    async def fail(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise error

    @jobs.on_transition
    async def listen(_: Job, transition: Transition) -> None:
        heard.append(transition.event)

    async with jobs:
        await run_one(jobs)
        await jobs.wait_until_idle(WAIT_SECONDS)

    assert heard == ["submit", "enqueue", "start", "complete"]
    assert tried == len(heard)


async def test_a_log_that_raises_keeps_no_run_from_its_end(tmp_path: Path) -> None:
    """The host's own handlers of log lines are foreign code, too."""

    class Panic(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise PanicError

    async def fail(_: JobContext) -> None:
        raise ValueError

    handler = Panic()
    async with make_jobs(tmp_path, fail, max_attempts=1) as jobs:
        logging.getLogger("cidx_jobs").addHandler(handler)
        try:
            job = await run_one(jobs)
        finally:
            logging.getLogger("cidx_jobs").removeHandler(handler)

    assert job.status is JobStatus.FAILED


async def test_a_request_that_was_swallowed_is_made_again(tmp_path: Path) -> None:
    """A library ate the first cancellation: the user asks again, and it is cancelled."""
    swallowed = asyncio.Event()

    async def swallow_once(_: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    async with make_jobs(tmp_path, swallow_once) as jobs:
        job = await jobs.submit("alice", "p", job_type="any")
        await jobs.manager.wait(job.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        await jobs.cancel(job.job_id)
        async with asyncio.timeout(WAIT_SECONDS):
            await swallowed.wait()
        still = await jobs.get(job.job_id)
        await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert still.status is JobStatus.RUNNING
    assert ended.status is JobStatus.CANCELLED


async def test_progress_after_a_request_is_no_further_request(tmp_path: Path) -> None:
    """A handler that tells how it cleans up is not cancelled again by telling it."""
    stopped, cleaned = asyncio.Event(), False

    async def clean_up(context: JobContext) -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            for done in range(5):
                await context.save_checkpoint(done)
            cleaned = True
            raise

    async with make_jobs(tmp_path, clean_up) as jobs:
        job = await jobs.submit("alice", "p", job_type="any")
        await jobs.manager.wait(job.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    assert ended.status is JobStatus.CANCELLED
    assert cleaned


async def test_an_abandoned_run_is_asked_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask again: at the warning the server does."""
    monkeypatch.setattr("cidx_jobs.engine.run.runner.ABANDONED_SECONDS", 0.05)

    async def swallow_once(_: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async with make_jobs(tmp_path, swallow_once, timeout_seconds=0.05) as jobs:
        job = await run_one(jobs)

    assert job.error is not None
    assert job.error.code == "TIMEOUT"
    assert [warning.code for warning in job.warnings] == ["abandoned"]


async def test_waiting_for_a_resource_is_not_running(tmp_path: Path) -> None:
    """What it takes to get a unit does not count against the time-out, and is shown."""
    release = asyncio.Event()

    async def hold(context: JobContext) -> None:
        async with context.resource("git"):
            if context.job.project_id == "first":
                await release.wait()

    settings = Settings(data_dir=tmp_path / "data", resources={"git": 1})
    job_types = [JobType("hold", hold, max_attempts=1)]
    async with JobSystem.open(settings, job_types) as jobs:
        first = await jobs.submit("alice", "first", job_type="hold")
        await jobs.manager.wait(first.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        second = await jobs.submit("alice", "second", job_type="hold", timeout_seconds=0.2)
        waiting = await jobs.manager.wait(
            second.job_id, lambda now: now.progress_detail.waiting_for is not None, WAIT_SECONDS
        )
        await asyncio.sleep(0.3)
        release.set()
        ended = await jobs.wait(second.job_id, timeout=WAIT_SECONDS)

    assert waiting.progress_detail.waiting_for == "git"
    assert ended.status is JobStatus.COMPLETED
    assert ended.progress_detail.waiting_for is None


async def test_work_after_the_waiting_counts_on(tmp_path: Path) -> None:
    """The time-out is paused by the waiting, and not set to its beginning."""
    release = asyncio.Event()

    async def hold(context: JobContext) -> None:
        async with context.resource("git"):
            if context.job.project_id == "first":
                await release.wait()
            else:
                await asyncio.sleep(20)

    settings = Settings(data_dir=tmp_path / "data", resources={"git": 1})
    job_types = [JobType("hold", hold, max_attempts=1)]
    async with JobSystem.open(settings, job_types) as jobs:
        first = await jobs.submit("alice", "first", job_type="hold")
        await jobs.manager.wait(first.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        second = await jobs.submit("alice", "second", job_type="hold", timeout_seconds=0.2)
        await jobs.manager.wait(
            second.job_id, lambda now: now.progress_detail.waiting_for is not None, WAIT_SECONDS
        )
        release.set()
        ended = await jobs.wait(second.job_id, timeout=WAIT_SECONDS)

    assert ended.error is not None
    assert ended.error.code == "TIMEOUT"


async def test_a_second_resource_raises_and_leaves_the_first_alone(tmp_path: Path) -> None:
    """Also while the first is still waited for: what is shown stays what is waited for."""
    release = asyncio.Event()
    seen: list[str] = []

    async def hold(context: JobContext) -> None:
        async with context.resource("git"):
            if context.job.project_id == "first":
                await release.wait()

    async def hold_two(context: JobContext) -> None:
        first = asyncio.create_task(hold(context))
        await asyncio.sleep(0)
        try:
            async with context.resource("indexing"):
                seen.append("both")
        except RuntimeError:
            seen.append("raised")
        await first

    settings = Settings(data_dir=tmp_path / "data", resources={"git": 1, "indexing": 1})
    job_types = [JobType("hold", hold), JobType("two", hold_two, max_attempts=1)]
    async with JobSystem.open(settings, job_types) as jobs:
        first = await jobs.submit("alice", "first", job_type="hold")
        await jobs.manager.wait(first.job_id, lambda now: now.status == "running", WAIT_SECONDS)
        second = await jobs.submit("alice", "second", job_type="two", timeout_seconds=0.3)
        waiting = await jobs.manager.wait(
            second.job_id, lambda now: now.progress_detail.waiting_for is not None, WAIT_SECONDS
        )
        await asyncio.sleep(0.4)
        still = await jobs.get(second.job_id)
        release.set()
        ended = await jobs.wait(second.job_id, timeout=WAIT_SECONDS)

    assert waiting.progress_detail.waiting_for == still.progress_detail.waiting_for == "git"
    assert ended.status is JobStatus.COMPLETED
    assert seen == ["raised"]
