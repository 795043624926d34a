"""Programs without an event loop: a job system in a thread, opened by a plain ``with``."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cidx_jobs import AlreadyOwnedError, JobContext, JobStatus, JobSystem, Settings, job_type
from tests.leftovers import nothing_left_behind

MOST_SECONDS = 10.0
PROGRAM = """
import asyncio, atexit, contextlib, sys
from cidx_jobs import JobContext, JobSystem, Settings, job_type

@job_type("endless")
async def endless(context: JobContext) -> None:
    print("runs", flush=True)
    await asyncio.shield(asyncio.sleep({seconds}))

settings = Settings(data_dir=sys.argv[1], shutdown_grace_seconds=40)
with contextlib.ExitStack() as stack:
    jobs = stack.enter_context(JobSystem(settings, [endless]).in_thread())
    job = jobs.submit("u", "p", job_type=endless)
    jobs.wait(job.job_id, "status", since=job.version)
    {end}
"""


@job_type("double")
async def double(context: JobContext) -> dict[str, int]:
    """Double a number, with the help of a child process."""
    await context.run(["true"], timeout=MOST_SECONDS)
    return {"doubled": 2 * context.options["number"]}


def make_jobs(folder: Path) -> JobSystem:
    """Build a system that is not open."""
    return JobSystem(Settings(data_dir=folder / "data", shutdown_grace_seconds=0), [double])


@pytest.mark.slow
def test_a_plain_program_runs_jobs(tmp_path: Path) -> None:
    """As often as it likes, with what it stored before, and leaves nothing behind."""
    system = make_jobs(tmp_path)
    with nothing_left_behind():
        with system.in_thread() as jobs:
            result = jobs.run("u", "p", job_type=double, options={"number": 4})
        with system.in_thread() as jobs:
            (job,) = jobs.list("u")
        with pytest.raises(RuntimeError, match="not open"):
            jobs.get(job.job_id)

    assert result == job.result == {"doubled": 8}


@pytest.mark.slow
def test_what_opening_raises_is_raised_in_the_program(tmp_path: Path) -> None:
    """And what its block raises; the directory is free after both."""
    system = make_jobs(tmp_path)
    with nothing_left_behind():
        with (
            system.in_thread(),
            pytest.raises(AlreadyOwnedError),
            make_jobs(tmp_path).in_thread(),
        ):
            raise AssertionError
        with pytest.raises(ZeroDivisionError), system.in_thread():
            _ = 1 / 0
        with system.in_thread() as jobs:
            assert not jobs.list()


@pytest.mark.slow
def test_a_plain_program_attaches(tmp_path: Path) -> None:
    """To a system of another loop, whose jobs run there."""
    settings = Settings(data_dir=tmp_path / "data", shutdown_grace_seconds=0)
    with (
        JobSystem(settings, [double], shared=True).in_thread() as owner,
        JobSystem.attach(settings.data_dir).in_thread() as attached,
    ):
        result = attached.run("u", "p", job_type=double, options={"number": 2})
        (job,) = owner.list("u")

    assert result == job.result == {"doubled": 4}


def start(data_dir: Path, end: str, seconds: float) -> subprocess.Popen[str]:
    """Start the program, and wait until its job runs."""
    text = PROGRAM.format(end=end, seconds=seconds)
    program = subprocess.Popen(
        [sys.executable, "-c", text, str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "runs\n"
    return program


@pytest.mark.slow
def test_a_second_interrupt_cuts_the_grace_time_short(tmp_path: Path) -> None:
    """The first leaves the block, as in every program; the job goes on in the next life."""
    data_dir = tmp_path / "data"
    program = start(data_dir, "jobs.wait(job.job_id)", 3600)
    began = time.monotonic()

    while program.poll() is None and time.monotonic() < began + MOST_SECONDS:
        program.send_signal(signal.SIGINT)
        time.sleep(0.5)  # between two strokes of a key
    _, told = program.communicate(timeout=MOST_SECONDS)

    assert "KeyboardInterrupt" in told
    assert time.monotonic() < began + MOST_SECONDS
    with JobSystem(Settings(data_dir=data_dir)).in_thread() as jobs:
        (job,) = jobs.list()
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("left = stack.pop_all()", JobStatus.QUEUED),
        ("atexit.register(stack.pop_all().close)", JobStatus.COMPLETED),
    ],
    ids=["never", "at-exit"],
)
def test_a_block_that_is_not_left_lets_python_end(
    end: str, status: JobStatus, tmp_path: Path
) -> None:
    """Never left, its job goes on in the next life; left at the exit, it ends in this one."""
    data_dir = tmp_path / "data"
    program = start(data_dir, end, 0.6)

    _, told = program.communicate(timeout=MOST_SECONDS)

    assert (program.returncode, told) == (0, "")
    with JobSystem(Settings(data_dir=data_dir)).in_thread() as jobs:
        (job,) = jobs.list()
    assert job.status is status
