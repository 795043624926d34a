"""Process tree: a child with everything it started, and its end: TERM, then KILL."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from cidx_jobs.runtime.blocking import in_own_thread

_PROC = Path("/proc")
_FIRST_POLL_SECONDS = 0.005
_SLOWEST_POLL_SECONDS = 0.1
"""The pause between two looks doubles from the first to this: most processes end at once."""
_AFTER_KILL_SECONDS = 5.0
_GROUP_FIELD = 2
"""Where the process group stands in /proc/PID/stat, counted behind the name."""

Find = Callable[[], set[int]]


class ProcessTree:
    """The process group of *pid*, and the processes that carry *mark* in their environment.

    Without /proc (not Linux) what left the group is not found.
    """

    def __init__(self, pid: int, mark: str) -> None:
        """Take the leader's process id, which is the group's too, and a ``NAME=value``."""
        self.pid = pid
        self.is_signalled = False
        """True once the leader was sent a signal from here."""
        self._mark = mark.encode()

    async def end(self, kill_after: float, *, group_only: bool = False) -> None:
        """End all of it: TERM, *kill_after* seconds later KILL; returns when nothing is left.

        Bounded: a process that even KILL does not end (it waits for a disk) is left to the
        system after five more seconds.
        """
        find = self._find_group if group_only else self._find_all
        if await self._signal_until_gone(find, signal.SIGTERM, kill_after):
            return
        await self._signal_until_gone(find, signal.SIGKILL, _AFTER_KILL_SECONDS)

    async def _signal_until_gone(self, find: Find, number: signal.Signals, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        pause = _FIRST_POLL_SECONDS
        signalled: set[int] = set()
        while alive := await self._look(find):
            for pid in alive - signalled:
                self._signal(pid, number)
            signalled |= alive
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, _SLOWEST_POLL_SECONDS)
        return True

    async def _look(self, find: Find) -> set[int]:
        if find == self._find_group and not self._group_exists():
            return set()
        try:
            return await in_own_thread(find)
        except RuntimeError:
            # There is no thread to be had, and what runs must be ended all the same.
            return find()

    def _group_exists(self) -> bool:
        # The number cannot be another's meanwhile: the system gives no process the id of a
        # group that has members, and one without members is answered by an error.
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _find_group(self) -> set[int]:
        if not _PROC.is_dir():
            return {self.pid} if self._group_exists() else set()
        return {pid for pid, group in _processes() if group == self.pid}

    def _find_all(self) -> set[int]:
        if not _PROC.is_dir():
            return self._find_group()
        return {pid for pid, group in _processes() if group == self.pid or self._is_marked(pid)}

    def _is_marked(self, pid: int) -> bool:
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            return False
        return self._mark in environment.split(b"\0")

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid == self.pid:
                self.is_signalled = True
                os.killpg(pid, number)
            else:
                os.kill(pid, number)


def _processes() -> Iterator[tuple[int, int]]:
    """Yield (process id, group) of every process that has not ended; zombies have."""
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            stat = (_PROC / entry.name / "stat").read_text("utf-8", "replace")
        except OSError:
            continue
        # The name stands in brackets and may hold anything, brackets too.
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in {"Z", "X"}:
            yield int(entry.name), int(fields[_GROUP_FIELD])
