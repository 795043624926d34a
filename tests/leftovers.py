"""What a part that was opened and closed must not leave behind: tasks, threads, descriptors."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.system import JobSystem

_DESCRIPTORS = Path("/proc/self/fd")
_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.01
_MORE_THAN_ITS_READERS = 4
_OF_THE_LOOP = "asyncio_"
"""Threads of the loop's own executor live as long as the loop."""


@attrs.frozen
class Belongings:
    """What this process has at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    descriptors: Counter[str]


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if the block leaves a task, a thread or an open file that was not there before."""
    before = take_stock()
    yield
    until = time.monotonic() + _PATIENCE_SECONDS
    while (left := _left(before)) and time.monotonic() < until:
        # A thread that has been told to end may need a moment for it.
        time.sleep(_PAUSE_SECONDS)
    assert not left, f"left behind: {left}"


async def open_readers(owner: JobSystem) -> None:
    """Let a system open all that its first reads open: then nobody takes it for their own."""
    projects = owner.persistence.projects
    lists = (projects.list_projects(None) for _ in range(_MORE_THAN_ITS_READERS))
    await asyncio.gather(*lists, projects.load_project(UserId("alice"), ProjectId("p")))


def take_stock() -> Belongings:
    """List what there is now; tasks only where a loop runs."""
    tasks: frozenset[asyncio.Task[object]] = frozenset()
    with contextlib.suppress(RuntimeError):
        tasks = frozenset(asyncio.all_tasks())
    threads = (each for each in threading.enumerate() if not each.name.startswith(_OF_THE_LOOP))
    return Belongings(tasks, frozenset(threads), Counter(_open_files()))


def _left(before: Belongings) -> list[object]:
    now = take_stock()
    return [
        *(now.tasks - before.tasks),
        *(now.threads - before.threads),
        *(now.descriptors - before.descriptors),
    ]


def _open_files() -> Iterator[str]:
    for entry in _DESCRIPTORS.iterdir():
        with contextlib.suppress(OSError):  # the listing's own
            target = str(entry.readlink())
            # Sockets and pipes are told apart by number, which says nothing: count them by kind.
            yield target.partition(":")[0] if ":[" in target else target
