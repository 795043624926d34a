"""The implementations that each conformance suite runs over."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.interfaces.store.admin_log import AdminLogStore
from cidx_jobs.interfaces.store.controls import ControlStore
from cidx_jobs.interfaces.store.end_notices import EndNoticeStore
from cidx_jobs.interfaces.store.jobs import JobStore
from cidx_jobs.interfaces.store.persistence import Persistence
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.interfaces.store.push_hooks import PushHookStore
from cidx_jobs.interfaces.store.schedules import ScheduleStore
from cidx_jobs.interfaces.store.tokens import TokenStore
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.store.sqlite.persistence import JobPersistence


def open_database(path: Path) -> Persistence:
    """Make the persistence on SQLite."""
    return JobPersistence(DataDirectory(path / "data"), clock=SystemClock())


def open_memory(_: Path) -> Persistence:
    """Make the persistence in memory."""
    return MemoryPersistence()


@pytest.fixture(params=[open_memory, open_database], ids=["memory", "database"])
async def persistence(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Persistence]:
    """Yield each implementation in turn, open."""
    make: Callable[[Path], Persistence] = request.param
    opened = make(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def jobs(persistence: Persistence) -> JobStore:
    """Return its store of jobs."""
    return persistence.jobs


@pytest.fixture
def projects(persistence: Persistence) -> ProjectStore:
    """Return its store of projects."""
    return persistence.projects


@pytest.fixture
def tokens(persistence: Persistence) -> TokenStore:
    """Return its store of tokens."""
    return persistence.tokens


@pytest.fixture
def accounts(persistence: Persistence) -> AccountStore:
    """Return its store of accounts."""
    return persistence.accounts


@pytest.fixture
def end_notices(persistence: Persistence) -> EndNoticeStore:
    """Return its store of notices."""
    return persistence.end_notices


@pytest.fixture
def push_hooks(persistence: Persistence) -> PushHookStore:
    """Return its store of push hooks."""
    return persistence.push_hooks


@pytest.fixture
def schedules(persistence: Persistence) -> ScheduleStore:
    """Return its store of schedules."""
    return persistence.schedules


@pytest.fixture
def controls(persistence: Persistence) -> ControlStore:
    """Return its store of an operator's limits and pauses."""
    return persistence.controls


@pytest.fixture
def admin_log(persistence: Persistence) -> AdminLogStore:
    """Return its store of the admin log."""
    return persistence.admin_log
