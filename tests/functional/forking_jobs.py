"""Job types that fork, for a server process of the tests (``handlers=…forking_jobs:TYPES``)."""

import asyncio
import contextlib
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess

from cidx_jobs.interfaces.run import JobContext
from cidx_jobs.job_types import JobType

_POOL = ThreadPoolExecutor(1, "the-hanging-one")
_LEFT: list[BaseProcess] = []


def fork_a_sleeper() -> BaseProcess:
    """Start a process that is a fork of this one, and sleeps."""
    process: BaseProcess = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=(60,), daemon=True
    )
    process.start()
    return process


async def end_a_fork(_: JobContext) -> dict[str, object]:
    """Fork a process, end it with TERM, and say how it ended."""
    process = fork_a_sleeper()
    await asyncio.sleep(0.2)
    process.terminate()
    await asyncio.to_thread(process.join, 10)
    return {"exitcode": process.exitcode}


async def hang(context: JobContext) -> dict[str, object]:
    """Leave work behind that does not end: in a thread, a pool or a process, or on the loop."""
    match context.options["where"]:
        case "thread":
            threading.Thread(target=time.sleep, args=(60,), name="the-hanging-one").start()
        case "pool":
            _POOL.submit(time.sleep, 60)
        case "process":
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
            process.start()
        case "loop":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            time.sleep(60)  # noqa: ASYNC251 - what it must not do
        case _:
            raise ValueError
    return {}


async def leave_a_grandchild(context: JobContext) -> dict[str, object]:
    """Run a program whose own child outlives it for a moment."""
    await context.run(["sh", "-c", "(sleep 0.2 &); exit 0"], timeout=10)
    return {}


async def log_much(context: JobContext) -> dict[str, object]:
    """Log 400 kB."""
    for number in range(400):
        context.log.info("noise", number=number, text="x" * 1_000)
        await asyncio.sleep(0)
    return {}


async def leave_a_fork(_: JobContext) -> dict[str, object]:
    """Fork a process that stays."""
    _LEFT.append(fork_a_sleeper())
    return {"pid": _LEFT[-1].pid}


async def come_back_forked(_: JobContext) -> dict[str, object]:
    """Fork, and go on in both processes; say how the child ended."""
    pid = os.fork()
    if pid == 0:
        return {}
    ended = await asyncio.to_thread(os.waitpid, pid, 0)
    return {"exitcode": os.waitstatus_to_exitcode(ended[1])}


TYPES = [
    JobType("come_back_forked", come_back_forked),
    JobType("hang", hang),
    JobType("leave_a_grandchild", leave_a_grandchild),
    JobType("log_much", log_much),
    JobType("end_a_fork", end_a_fork),
    JobType("leave_a_fork", leave_a_fork),
]
