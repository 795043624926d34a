"""Job types that fork, for a server process of the tests (``handlers=…forking_jobs:TYPES``)."""

import asyncio
import multiprocessing
import time
from multiprocessing.process import BaseProcess

from cidx_jobs.interfaces import JobContext
from cidx_jobs.job_types import JobType

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


async def leave_a_fork(_: JobContext) -> dict[str, object]:
    """Fork a process that stays."""
    _LEFT.append(fork_a_sleeper())
    return {"pid": _LEFT[-1].pid}


TYPES = [JobType("end_a_fork", end_a_fork), JobType("leave_a_fork", leave_a_fork)]
