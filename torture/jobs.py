"""Job types of the tortured server: each writes down, outside the database, what it does.

Loaded by the server itself (``handlers=torture.jobs:TYPES``).
"""

import asyncio
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType
from torture.ledger import append_note
from torture.server import ID_VARIABLE, LIFE_VARIABLE, RUNS_VARIABLE, SERVER_VARIABLE

STEP_SECONDS = 0.02
FORK_SECONDS = 20.0
"""How long a forked process stays, at most: its server is killed long before."""
THREAD_SECONDS = 1.0
"""How long a thread is held, whatever its run is told."""
TREE_SIZE = 8
"""The processes of one job that runs a tree which tries to survive."""

# A child that tries to survive: it ignores TERM, and has a child in its group, one in a session of
# its own with a child below it, and one whose parent has gone (a double fork).
_SURVIVORS = """
trap '' TERM
sleep 86400 &
setsid sh -c 'trap "" TERM; sleep 86400 & sleep 86400' &
(setsid sh -c 'trap "" TERM; sleep 86400 & sleep 86400' &)
echo begun
wait
"""

# As `git gc --auto`, an agent or any daemon does: in the group, and in a session of its own.
_LEAVINGS = "(sleep 0.1 &); (setsid sleep 0.2 &); exit 0"


async def count(context: JobContext) -> dict[str, Any]:
    """Count to `steps`, with a checkpoint after each: what was counted is not counted again.

    A server whose life is `kills` dies in the moment in which the checkpoint `kills_at` is
    said to be stored.
    """
    done: int = context.checkpoint or 0
    _note(context, "begin", at=done)
    try:
        while done < int(context.options.get("steps", 3)):
            await asyncio.sleep(STEP_SECONDS)
            done += 1
            await context.report(done=done, total=int(context.options.get("steps", 3)))
            await context.save_checkpoint(done)
            _note(context, "saved", at=done)
            _kill_if_due(context, done)
    finally:
        _note(context, "end", at=done)
    return {"counted": done}


async def survive(context: JobContext) -> dict[str, Any]:
    """Run a tree of processes that try to outlive the server, until it is ended."""
    _note(context, "begin")
    environment = {
        ID_VARIABLE: os.environ[ID_VARIABLE],
        SERVER_VARIABLE: os.environ[LIFE_VARIABLE],
    }
    await context.report(percent=1)
    try:
        await context.run(["sh", "-c", _SURVIVORS], timeout=86_400, env=environment)
    finally:
        _note(context, "end")
    return {}


async def run_child(context: JobContext) -> dict[str, Any]:
    """Run a process with a child of its own, until it is ended; they end when they are told."""
    _note(context, "begin")
    environment = {
        ID_VARIABLE: os.environ[ID_VARIABLE],
        SERVER_VARIABLE: os.environ[LIFE_VARIABLE],
    }
    try:
        await context.run(["sh", "-c", "sleep 86400 & wait"], timeout=86_400, env=environment)
    finally:
        _note(context, "end")
    return {}


async def leave(context: JobContext) -> dict[str, Any]:
    """Run a program that ends before what it has started: nobody waits for that."""
    _note(context, "begin")
    environment = {
        ID_VARIABLE: os.environ[ID_VARIABLE],
        SERVER_VARIABLE: os.environ[LIFE_VARIABLE],
    }
    await context.run(["sh", "-c", _LEAVINGS], timeout=60, env=environment)
    _note(context, "end")
    return {}


async def fork(context: JobContext) -> dict[str, Any]:
    """Fork a process that outlives the server, and wait until somebody ends the job."""
    _note(context, "begin")
    await context.report(percent=1)
    # As pools and loaders of data do it, by default up to Python 3.13.
    process = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=(FORK_SECONDS,), daemon=True
    )
    try:
        process.start()
        _note(context, "forked")
        await asyncio.Event().wait()
    finally:
        _note(context, "end")
    return {}


def hold_thread(context: JobContext) -> dict[str, Any]:
    """Sleep in a thread, longer than a run may take: its next attempt has to wait for it."""
    _note(context, "begin")
    time.sleep(THREAD_SECONDS)
    _note(context, "end")
    return {}


async def kill_server(context: JobContext) -> dict[str, Any]:
    """Kill the server, at once and always."""
    _note(context, "begin")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


async def tick(_: JobContext) -> dict[str, Any]:
    """End at once: what a schedule submits each second."""
    return {}


async def wait_for_end(context: JobContext) -> dict[str, Any]:
    """Wait, with a report, until somebody ends it."""
    _note(context, "begin")
    await context.report(percent=1)
    try:
        await asyncio.Event().wait()
    finally:
        _note(context, "end")
    return {}


def _kill_if_due(context: JobContext, done: int) -> None:
    # Here and not from outside: whoever kills from there gives the server time for more.
    options = context.options
    if options.get("kills") == os.environ[LIFE_VARIABLE] and options.get("kills_at") == done:
        os.kill(os.getpid(), signal.SIGKILL)


def _note(context: JobContext, what: str, **more: Any) -> None:
    job = context.job
    line = {
        "what": what,
        "job_id": job.job_id,
        "job_type": job.job_type,
        "user_id": job.user_id,
        "attempt": job.attempt,
        "run": job.run,
        "life": os.environ[LIFE_VARIABLE],
        "time": time.monotonic(),
        **more,
    }
    append_note(Path(os.environ[RUNS_VARIABLE]), line)


TYPES = [
    JobType("count", count, max_attempts=1000, on_interrupt="resume"),
    JobType("survive", survive, max_attempts=1000, on_interrupt="resume"),
    JobType("child", run_child, max_attempts=1000, on_interrupt="resume"),
    JobType("fork", fork, max_attempts=1000, on_interrupt="resume"),
    JobType("leave", leave, max_attempts=1000, on_interrupt="resume"),
    JobType("thread", hold_thread, max_attempts=2, timeout_seconds=THREAD_SECONDS / 10),
    JobType("kill_server", kill_server, max_attempts=1000, on_interrupt="resume"),
    JobType("tick", tick),
    JobType("wait", wait_for_end, max_attempts=1000, on_interrupt="resume"),
]
