"""Threads and processes of a run count as the run: it ends when they have, and not before."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidx_jobs import Job, JobContext, JobStatus, JobSystem, JobType, Settings
from tests.fakes import WAIT_SECONDS
from tests.functional import blocking_work

PROCESS_SECONDS = 30.0
"""A process of its own has to start, also where the machine is busy."""


class Blocking:
    """Work that blocks its thread until it is let go; it notes when it begins and ends."""

    def __init__(self) -> None:
        """Begin closed."""
        self.free = threading.Event()
        self.notes: list[str] = []
        self.begun = threading.Semaphore(0)

    def work(self) -> int:
        """Block until it is let go."""
        self.notes.append("begin")
        self.begun.release()
        assert self.free.wait(WAIT_SECONDS)
        self.notes.append("end")
        return len(self.notes)

    async def wait_for_begin(self) -> None:
        """Return once it has begun once more."""
        await asyncio.to_thread(self.begun.acquire, timeout=WAIT_SECONDS)


def make_jobs(folder: Path, *job_types: JobType, **settings: Any) -> JobSystem:
    """Build a system that waits for nothing."""
    rules = {"retry_base_seconds": 0, "shutdown_grace_seconds": 0} | settings
    return JobSystem(Settings(data_dir=folder / "data", **rules), job_types)


async def run_one(jobs: JobSystem, seconds: float = WAIT_SECONDS, **more: Any) -> Job:
    """Run a job to its end."""
    job = await jobs.submit("alice", "p", job_type="work", **more)
    return await jobs.wait(job.job_id, timeout=seconds)


async def wait_for_status(jobs: JobSystem, job: Job, status: str) -> Job:
    """Wait until the job has the status."""
    return await jobs.manager.wait(job.job_id, lambda now: now.status == status, WAIT_SECONDS)


async def test_a_function_is_called_in_a_thread(tmp_path: Path) -> None:
    """Its result and its error come back as from a call."""

    def fail() -> None:
        raise SystemExit(3)

    async def work(context: JobContext) -> dict[str, object]:
        with pytest.raises(SystemExit):
            await context.in_thread(fail)
        name = await context.in_thread(lambda: threading.current_thread().name)
        return {"sum": await context.in_thread(max, 1, 7), "name": name}

    async with make_jobs(tmp_path, JobType("work", work)) as jobs:
        job = await run_one(jobs)

    assert job.result is not None
    assert job.result["sum"] == 7
    assert job.job_id in job.result["name"]


def through_context(blocking: Blocking) -> JobType:
    """Return a type whose handler awaits its thread."""

    async def work(context: JobContext) -> None:
        await context.in_thread(blocking.work)

    return JobType("work", work, exclusive=True, max_attempts=2)


def plainly(blocking: Blocking) -> JobType:
    """Return a type that is a plain function."""

    def work(_: JobContext) -> None:
        blocking.work()

    return JobType("work", work, exclusive=True, max_attempts=2)


def left_behind(blocking: Blocking) -> JobType:
    """Return a type whose handler does not wait for the thread that it began."""

    async def work(context: JobContext) -> None:
        task = asyncio.create_task(context.in_thread(blocking.work))
        await asyncio.sleep(0)
        if context.job.labels.get("waits"):
            await task
        context.log.debug("left", task=task.get_name())

    return JobType("work", work, exclusive=True, max_attempts=2)


WAYS = (through_context, plainly, left_behind)


@pytest.mark.parametrize("make_type", WAYS)
@pytest.mark.parametrize("how", ["cancel", "time-out"])
async def test_no_run_ends_before_its_thread(
    make_type: Callable[[Blocking], JobType],
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It keeps its slot, warned of as abandoned; nothing starts beside it."""
    monkeypatch.setattr("cidx_jobs.engine.run.runner.ABANDONED_SECONDS", 0.05)
    blocking = Blocking()
    async with make_jobs(tmp_path, make_type(blocking)) as jobs:
        seconds = 0.1 if how == "time-out" else 60
        first = await jobs.submit("alice", "p", job_type="work", timeout_seconds=seconds)
        await blocking.wait_for_begin()
        second = await jobs.submit("alice", "p", job_type="work")
        if how == "cancel":
            await jobs.cancel(first.job_id)
        held = await jobs.manager.wait(first.job_id, lambda now: bool(now.warnings), WAIT_SECONDS)
        waiting = await jobs.get(second.job_id)
        before = list(blocking.notes)
        blocking.free.set()
        ended = await jobs.wait(first.job_id, timeout=WAIT_SECONDS)
        await jobs.wait(second.job_id, timeout=WAIT_SECONDS)

    assert held.status is JobStatus.RUNNING
    assert [warning.code for warning in held.warnings] == ["abandoned"]
    assert waiting.status is JobStatus.CREATED
    assert before == ["begin"]
    assert not any(pair == ("begin", "begin") for pair in itertools.pairwise(blocking.notes))
    assert ended.status is (JobStatus.CANCELLED if how == "cancel" else JobStatus.COMPLETED) or (
        ended.error is not None and ended.error.code == "TIMEOUT"
    )


async def test_a_plain_function_reports_through_sync(tmp_path: Path) -> None:
    """Phases, progress and checkpoints, each stored as from a coroutine."""

    def work(context: JobContext) -> dict[str, object]:
        with context.sync.phase("reading", weight=1) as phase:
            phase.report(done=3, total=10, current_item="a.py")
            phase.finish({"files": 3})
        context.sync.report(message="nearly")
        context.sync.save_checkpoint({"at": 3})
        context.sync.raise_if_cancelled()
        return {"thread": threading.current_thread() is not threading.main_thread()}

    async with make_jobs(tmp_path, JobType("work", work)) as jobs:
        job = await run_one(jobs)
        kept = await jobs.persistence.load_checkpoint(job.job_id)

    assert job.result == {"thread": True}
    assert [(phase.name, phase.status, phase.result) for phase in job.phases] == [
        ("reading", "completed", {"files": 3})
    ]
    assert job.message == "nearly"
    assert kept is not None
    assert kept.data == {"at": 3}


async def test_a_phase_of_a_thread_that_fails_is_failed(tmp_path: Path) -> None:
    """As one of a coroutine, and the error is the run's."""

    def work(context: JobContext) -> None:
        with context.sync.phase("reading"):
            raise KeyError("x")

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await run_one(jobs)

    assert [phase.status for phase in job.phases] == ["failed"]
    assert job.error is not None
    assert "KeyError" in job.error.message


async def test_a_thread_is_told_of_a_cancel(tmp_path: Path) -> None:
    """It asks now and then, and ends; so it is with a time-out."""
    begun = asyncio.Event()

    def work(context: JobContext) -> None:
        loop.call_soon_threadsafe(begun.set)
        while True:
            context.sync.raise_if_cancelled()
            time.sleep(0.005)

    loop = asyncio.get_running_loop()
    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await jobs.submit("alice", "p", job_type="work")
        await begun.wait()
        await jobs.cancel(job.job_id)
        cancelled = await jobs.wait(job.job_id, timeout=WAIT_SECONDS)
        late = await run_one(jobs, timeout_seconds=0.05)

    assert cancelled.status is JobStatus.CANCELLED
    assert late.error is not None
    assert late.error.code == "TIMEOUT"


async def test_sync_raises_on_the_loop(tmp_path: Path) -> None:
    """It would wait for itself."""

    async def work(context: JobContext) -> None:
        context.sync.report(message="x")

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await run_one(jobs)

    assert job.error is not None
    assert "context.sync is for threads" in job.error.message


async def test_a_run_that_is_over_begins_no_thread(tmp_path: Path) -> None:
    """A task that the handler left behind is told so."""
    seen: list[str] = []
    over = asyncio.Event()

    async def late(context: JobContext) -> None:
        await over.wait()
        for begin in (context.in_thread, context.in_process):
            try:
                await begin(max, 1, 2)
            except RuntimeError as error:
                seen.append(str(error))
            except Exception as error:  # noqa: BLE001 - what is asserted
                seen.append(type(error).__name__)

    tasks: list[asyncio.Task[None]] = []

    async def work(context: JobContext) -> None:
        tasks.append(asyncio.create_task(late(context)))

    async with make_jobs(tmp_path, JobType("work", work)) as jobs:
        await run_one(jobs)
        over.set()
        await asyncio.wait(tasks)

    assert seen == ["StaleRunError", "StaleRunError"]


async def count(context: JobContext) -> Any:
    """Yield, which no handler may."""
    yield context


def count_plainly(context: JobContext) -> Any:
    """Yield, which no handler may."""
    yield context


@pytest.mark.parametrize("handler", [count, count_plainly])
def test_a_generator_is_no_handler(handler: Any) -> None:
    """It would never run: what is wrong in a type is told when it is made."""
    with pytest.raises(TypeError, match="yields nothing"):
        JobType("work", handler)


@pytest.mark.slow
async def test_a_function_is_called_in_a_process(tmp_path: Path) -> None:
    """With the server's variables and modules; what it prints is no answer."""

    async def work(context: JobContext) -> dict[str, object]:
        pid, has_variables = await context.in_process(blocking_work.name_process)
        return {
            "double": await context.in_process(blocking_work.double, 21),
            "large": len(await context.in_process(bytes, 3_000_000)),
            "is_other": pid != os.getpid(),
            "has_variables": has_variables,
            "thread": await context.in_process(blocking_work.leave_thread),
        }

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await run_one(jobs, PROCESS_SECONDS)
        findings = await jobs.examine()

    assert job.result == {
        "double": 42,
        "large": 3_000_000,
        "is_other": True,
        "has_variables": True,
        "thread": 1,
    }
    assert findings == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "told"),
    [
        (blocking_work.panic, "raised PanicError"),
        (blocking_work.leave, "raised SystemExit: 7"),
        (blocking_work.raise_two, "TwoError: onetwo"),
        (blocking_work.raise_eof, "raised EOFError: the function's own"),
        (blocking_work.die, "the job's process ended with code 9 before it was done"),
    ],
    ids=["panic", "exit", "unreadable", "eof", "death"],
)
async def test_what_a_process_raises_is_raised(
    function: Callable[[], None], told: str, tmp_path: Path
) -> None:
    """Where it was called; and a process that dies is an error, never a hang."""

    async def work(context: JobContext) -> None:
        await context.in_process(function)

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await run_one(jobs, PROCESS_SECONDS)

    assert job.error is not None
    assert told in job.error.message


@pytest.mark.slow
async def test_what_cannot_be_pickled_is_told(tmp_path: Path) -> None:
    """Before a process is started."""

    async def work(context: JobContext) -> None:
        await context.in_process(lambda: 1)

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await run_one(jobs)

    assert job.error is not None
    assert "pickle" in job.error.message


def read_when_there(file: Path) -> str:
    """Return what stands in the file, once something does; blocks."""
    deadline = time.monotonic() + PROCESS_SECONDS
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return file.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("waits", [True, False])
async def test_a_process_dies_with_its_run(waits: bool, tmp_path: Path) -> None:
    """A cancel kills it, and so does the end of a handler that does not wait for it."""
    begun = tmp_path / "begun"

    async def work(context: JobContext) -> None:
        call = asyncio.create_task(context.in_process(blocking_work.hang, str(begun)))
        await asyncio.to_thread(read_when_there, begun)
        if waits:
            await call

    async with make_jobs(tmp_path, JobType("work", work, max_attempts=1)) as jobs:
        job = await jobs.submit("alice", "p", job_type="work")
        if waits:
            await asyncio.to_thread(read_when_there, begun)
            await jobs.cancel(job.job_id)
        ended = await jobs.wait(job.job_id, timeout=PROCESS_SECONDS)
    with pytest.raises(ProcessLookupError):
        os.kill(int(read_when_there(begun)), 0)

    assert ended.status is (JobStatus.CANCELLED if waits else JobStatus.COMPLETED)
