"""A job system for one test: in memory, with a clock by hand."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable
from typing import Any

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import Middleware
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.job_types import JobType
from cidx_jobs.model.schedules.schedule import Schedule
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from cidx_jobs.testing.clock import ManualClock


@contextlib.asynccontextmanager
async def open_for_tests(
    job_types: Iterable[JobType] = (),
    *,
    middlewares: Iterable[Middleware] = (),
    schedules: Iterable[Schedule] = (),
    clock: Clock | None = None,
    persistence: Persistence | None = None,
    **settings: Any,
) -> AsyncIterator[JobSystem]:
    """Open a system that keeps its jobs in memory and leaves nothing behind.

    What still runs at the end of the block is interrupted at once.

    Args:
        job_types: besides ``repository_sync``.
        middlewares: what stands around each run, the outermost first.
        schedules: those that the code declares.
        clock: a `ManualClock` if None; the same one is ``jobs.clock``.
        persistence: a new `MemoryPersistence` if None; opened again, it is a restart.
        settings: as in `Settings`; `data_dir` is a temporary directory if not given.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    async with contextlib.AsyncExitStack() as stack:
        if "data_dir" not in settings:
            # A thread, since it touches the disk.
            folder = await in_own_thread(tempfile.TemporaryDirectory, prefix="cidx-jobs-test-")
            stack.push_async_callback(in_own_thread, folder.cleanup)
            settings["data_dir"] = folder.name
        jobs = JobSystem(
            Settings(**({"shutdown_grace_seconds": 0} | settings)),
            job_types,
            middlewares=middlewares,
            schedules=schedules,
            persistence=MemoryPersistence() if persistence is None else persistence,
            clock=ManualClock() if clock is None else clock,
        )
        yield await stack.enter_async_context(jobs)
