"""Orphaned processes: children of an older server, found by their mark and ended at the start.

A process is one of ours only if its environment names this very database, the lock file that its
server held, which a copy of the database does not share, and an older start. Linux only: elsewhere
nothing is found.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from cidx_jobs.handlers.process.children import RUN_MARK, Children
from cidx_jobs.model.findings import Finding
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.runtime.blocking import in_own_thread

_PROC = Path("/proc")
_POLL_SECONDS = 0.02
_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.1
_LOOKS_AGAIN = 10
_START_TIME_FIELD = 19
"""Where the start time stands in /proc/PID/stat, counted behind the name."""


async def end_orphans(identity: StoreIdentity, *, seconds: float = _SECONDS) -> int:
    """Send KILL to every child of an older epoch of this database; return their number.

    Returns when they are gone, at the latest after *seconds* (a process may wait for a disk).
    """
    deadline = asyncio.get_running_loop().time() + seconds
    ended: set[tuple[int, str]] = set()
    while found := await in_own_thread(_kill_orphans, identity):
        ended |= found
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(_POLL_SECONDS)
    return len(ended)


async def find_strays(identity: StoreIdentity, children: Children) -> Sequence[Finding]:
    """Return the processes of this database that no run of this server has.

    What is found is looked at again for a second: a child that is just being started or ended is
    none, and on a busy machine one that was told to end takes a moment to be gone.
    """
    return [
        Finding(kind="children", message=f"process {pid} of server start {epoch} has no run")
        for pid, _, epoch in sorted(await _look_for_strays(identity, children))
    ]


async def end_strays(identity: StoreIdentity, children: Children) -> None:
    """Send KILL to the processes that `find_strays` finds."""
    for pid, started, _ in await _look_for_strays(identity, children):
        await in_own_thread(_kill, pid, started)


async def _look_for_strays(
    identity: StoreIdentity, children: Children
) -> set[tuple[int, str, int]]:
    found = await in_own_thread(_strays, identity, children)
    for _ in range(_LOOKS_AGAIN):
        if not found:
            break
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        found &= await in_own_thread(_strays, identity, children)
    return found


def _strays(identity: StoreIdentity, children: Children) -> set[tuple[int, str, int]]:
    # A run's own tree may be deep; only where no child is active is everything a stray.
    is_idle = not children.active
    return {
        (pid, started, epoch)
        for pid, started, epoch in _marked(identity)
        if epoch < identity.epoch or (epoch == identity.epoch and is_idle)
    }


def _kill_orphans(identity: StoreIdentity) -> set[tuple[int, str]]:
    found = set()
    for pid, started, its_epoch in _marked(identity):
        if its_epoch < identity.epoch:
            found.add((pid, started))
            _kill(pid, started)
    return found


def _kill(pid: int, started: str) -> None:
    # The number may have become another process's since it was found: what is signalled is the
    # one that was looked at again.
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _start_time(pid) == started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _marked(identity: StoreIdentity) -> Iterator[tuple[int, str, int]]:
    """Yield (process id, start time, epoch) of every living process that carries our mark."""
    if not _PROC.is_dir():
        return
    mark = re.compile(
        re.escape(f"{RUN_MARK}={identity.uuid}:").encode()
        + rb"([0-9]+)"
        + re.escape(f":{identity.lock}").encode()
    )
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            variables = (_PROC / entry.name / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        found = next(filter(None, map(mark.fullmatch, variables)), None)
        started = _start_time(pid) if found else None
        if found is not None and started is not None:
            yield pid, started, int(found[1])


def _start_time(pid: int) -> str | None:
    """Return when the process started, in the system's ticks; None once it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[_START_TIME_FIELD]
