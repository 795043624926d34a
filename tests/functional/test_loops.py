"""A system on the wrong loop says so at once, and one that was never closed ends with Python."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from cidx_jobs import AlreadyOwnedError, JobContext, JobSystem, JobType, Settings
from tests.fakes import WAIT_SECONDS

JOB_ID = "01980000-0000-7000-8000-00000000ffff"
NEVER_CLOSED = """
import asyncio, sys, time
from cidx_jobs import JobSystem, JobType, Settings

async def work(context):
    {work}

async def main():
    jobs = await JobSystem(Settings(data_dir=sys.argv[1]), [JobType("work", work)]).__aenter__()
    job = await jobs.submit("alice", "p", job_type="work")
    await jobs.wait(job.job_id, until="{until}", since=job.version)
    print("leaves", flush=True)
    {end}

asyncio.run(main())
"""


async def idle(_: JobContext) -> None:
    """Do nothing."""


def make_jobs(folder: Path) -> JobSystem:
    """Build a system with one job type."""
    return JobSystem(Settings(data_dir=folder / "data"), [JobType("idle", idle)])


@pytest.fixture
def loops() -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]]:
    """Yield two loops of this thread."""
    one, two = asyncio.new_event_loop(), asyncio.new_event_loop()
    yield one, two
    one.close()
    two.close()


CALLS: dict[str, Callable[[JobSystem], Awaitable[object]]] = {
    "submit": lambda jobs: jobs.submit("alice", "p", job_type="idle"),
    "get": lambda jobs: jobs.get(JOB_ID),
    "list": lambda jobs: jobs.list(),
    "cancel": lambda jobs: jobs.cancel(JOB_ID),
    "retry": lambda jobs: jobs.retry(JOB_ID),
    "wait": lambda jobs: jobs.wait(JOB_ID),
    "wait_until_idle": lambda jobs: jobs.wait_until_idle(),
    "examine": lambda jobs: jobs.examine(),
    "remove_project": lambda jobs: jobs.remove_project("alice", "p"),
    "begin_stop": lambda jobs: jobs.begin_stop(),
    "open": lambda jobs: jobs.__aenter__(),
    "close": lambda jobs: jobs.close(),
}


def test_every_call_of_another_loop_raises_at_once(
    tmp_path: Path, loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]
) -> None:
    """Its answer would come on the loop that opened the system: it would wait for ever."""
    one, two = loops
    jobs = make_jobs(tmp_path)
    one.run_until_complete(jobs.__aenter__())

    async def call(name: str) -> str:
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                await CALLS[name](jobs)
            except RuntimeError as error:
                return str(error)
        return "nothing was raised"

    said = {name: two.run_until_complete(call(name)) for name in CALLS}
    job = one.run_until_complete(jobs.submit("alice", "p", job_type="idle"))
    ended = one.run_until_complete(jobs.wait(job.job_id, timeout=WAIT_SECONDS))
    one.run_until_complete(jobs.close())

    assert {name for name, text in said.items() if "loop" not in text} == {"open"}
    assert said["open"] == "the job system is open already"
    assert ended.done


def test_parts_that_are_held_on_to_raise_on_another_loop(
    tmp_path: Path, loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop]
) -> None:
    """Also who kept the manager neither stores nor waits where it would not be woken."""
    one, two = loops
    jobs = make_jobs(tmp_path)
    one.run_until_complete(jobs.__aenter__())
    manager = jobs.manager
    held = one.run_until_complete(jobs.submit("alice", "p", job_type="idle", hold=True))

    async def bounded(call: Awaitable[object]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await call

    one.run_until_complete(bounded(manager.wait(held.job_id, lambda _: True, 1.0)))
    with pytest.raises(RuntimeError, match="loop"):
        two.run_until_complete(bounded(manager.wait(held.job_id, lambda _: False, 1.0)))
    with pytest.raises(RuntimeError, match="loop"):
        two.run_until_complete(bounded(manager.cancel_job(held.job_id)))
    one.run_until_complete(jobs.close())


def test_a_system_whose_loop_was_closed_says_so_when_it_is_opened_again(tmp_path: Path) -> None:
    """Nothing can close it any more; whoever asks is told why, and not only that it is open."""
    jobs = make_jobs(tmp_path)

    async def open_and_leave() -> None:
        await jobs.__aenter__()

    asyncio.run(open_and_leave())

    with pytest.raises(RuntimeError, match="closed before it"):
        asyncio.run(open_and_leave())
    with pytest.raises(RuntimeError, match="loop"):
        asyncio.run(jobs.close())


async def test_a_second_system_of_this_process_is_told_that_it_is(tmp_path: Path) -> None:
    """A notebook's cell that was run twice: there is no other server to look for."""
    async with make_jobs(tmp_path):
        with pytest.raises(AlreadyOwnedError, match=r"this very process.*close the job system"):
            await make_jobs(tmp_path).__aenter__()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "until", "end"),
    [
        ("return {}", "done", "pass"),
        ("return {}", "done", "raise ValueError"),
        ("await asyncio.sleep(60)", "status", "pass"),
        ("await asyncio.to_thread(time.sleep, 1)", "status", "sys.exit(3)"),
    ],
    ids=["ends", "raises", "runs", "exits"],
)
def test_a_system_that_was_never_closed_lets_python_end(
    work: str, until: str, end: str, tmp_path: Path
) -> None:
    """However the program ends, and whatever still runs."""
    program = NEVER_CLOSED.format(work=work, until=until, end=end)

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )

    assert "leaves" in done.stdout
    assert "unraisable" not in done.stderr
