"""The implementations that each conformance suite runs over."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cidx_jobs.engine.clock import SystemClock
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.persistence import JobPersistence


def open_database(path: Path) -> JobStore:
    """Make the store on SQLite."""
    return JobPersistence(DataDirectory(path / "data"), clock=SystemClock())


def open_memory(_: Path) -> JobStore:
    """Make the store in memory."""
    return MemoryPersistence()


@pytest.fixture(params=[open_memory, open_database], ids=["memory", "database"])
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    """Give each store in turn, open."""
    make: Callable[[Path], JobStore] = request.param
    opened = make(tmp_path)
    await opened.open()
    yield opened
    await opened.close()
