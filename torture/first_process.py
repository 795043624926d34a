"""A server as the first process of a process namespace, as in a container, and what it reaps."""

import asyncio
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from torture.ledger import Ledger
from torture.skipping import SkippedError

REAPED_SECONDS = 5.0
"""How long a process that has ended may wait to be reaped, on a busy machine."""

_NAMESPACE = ("--pid", "--fork", "--mount-proc", "--kill-child")
# The second is for whoever is not root: the names of users are then the namespace's own.
_COMMANDS = (
    ("unshare", *_NAMESPACE),
    ("unshare", "--user", "--map-root-user", *_NAMESPACE),
)
_POLL_SECONDS = 0.05
_PROC = Path("/proc")


async def find_namespace() -> Sequence[str]:
    """Return the command that makes what it starts the first process of a namespace.

    Raises:
        SkippedError: this user may make no such namespace here.
    """
    return await asyncio.to_thread(_find_namespace)


def child_of(pid: int) -> int:
    """Return the process id, as it is out here, of the only process that this one has started."""
    (child,) = _children()[pid]
    return child


def server_below(first: int) -> int:
    """Return the process id of the server below its first process; that was started before all."""
    return min(_children()[first])


async def check_reaped(first: int, ledger: Ledger) -> None:
    """Blame a first process that lets processes which have ended stay."""
    left = await asyncio.to_thread(_find_zombies, first)
    deadline = time.monotonic() + REAPED_SECONDS
    # Those that end meanwhile have a time of their own: only who stays is left.
    while left and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        left &= await asyncio.to_thread(_find_zombies, first)
    if left:
        ledger.blame(f"{len(left)} processes have ended and are not reaped by the first process")


def _find_namespace() -> Sequence[str]:
    said = "there is no unshare here"
    for command in _COMMANDS:
        try:
            tried = subprocess.run(
                [*command, "true"], capture_output=True, text=True, check=False, timeout=10
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return command
        said = tried.stderr.strip()
    message = f"no process namespace can be made: {said}"
    raise SkippedError(message)


def _find_zombies(first: int) -> set[int]:
    children = _children()
    found, below = set[int](), [first]
    while below:
        pid = below.pop()
        below += children[pid]
        if _stat(pid)[:1] == ["Z"]:
            found.add(pid)
    return found


def _children() -> defaultdict[int, list[int]]:
    """Return the children of every process, those that have ended included."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.scandir(_PROC):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    return children


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none where it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return []
    # The name, in parentheses, may hold anything.
    return text.rpartition(")")[2].split()
