"""What a call changes or flushes in a directory, as the recorder keeps it."""

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

Record = tuple[Any, ...]
"""``(kind, begun, ended, ...)``: times on the monotonic clock, and then, by the kind,

``("open", name, inode, was_emptied)``, ``("write", inode, offset, content)``,
``("resize", inode, length)``, ``("flush", inode)``, ``("flush names", name)``,
``("rename", old, new)``, ``("link", old, new)``, ``("drop", name)`` and ``("make directory",)``.

A name is relative to the directory; that itself is ``.`` and what it lies in is ``..``. Whatever
lies deeper is not recorded.
"""

Describe = Callable[[int], Record]
"""Makes the record of a call that ended well, still without its times, from its result."""

_HERE = 2**64 - 100
"""AT_FDCWD: a path counts from the working directory."""
_HERE_INT = 2**32 - 100
_MOST_PATH_BYTES = 4_096
_PAIR = struct.Struct("QQ")


@attrs.frozen
class Caller:
    """A thread that is stopped at a call, and the directory that is looked at."""

    pid: int
    directory: str

    def name_of(self, path: str) -> str | None:
        """Return the name that a path has in the directory; None for whatever lies elsewhere."""
        if path == self.directory:
            return "."
        pure = PurePosixPath(path)
        if str(pure.parent) == self.directory:
            return pure.name
        return ".." if PurePosixPath(self.directory).parent == pure else None

    def name_open_as(self, descriptor: int) -> str | None:
        """Return the name of an open file."""
        return self.name_of(str(Path(self._open(descriptor)).readlink()))

    def inode_of(self, descriptor: int) -> int:
        """Return the inode of an open file."""
        return Path(self._open(descriptor)).stat().st_ino

    def position_of(self, descriptor: int) -> int:
        """Return where the next write to an open file goes."""
        text = Path(f"/proc/{self.pid}/fdinfo/{descriptor}").read_text("ascii")
        return int(text.split()[1])

    def name_at(self, base: int, address: int) -> str | None:
        """Return the name in the memory at the address; *base* is what it is relative to."""
        text = self.bytes_at(address, _MOST_PATH_BYTES).split(b"\0")[0]
        path = os.fsdecode(text)
        if not path.startswith("/"):
            is_here = base in {_HERE, _HERE_INT}
            folder = f"/proc/{self.pid}/cwd" if is_here else self._open(base)
            path = os.path.normpath(f"{Path(folder).readlink()}/{path}")
        return self.name_of(path)

    def bytes_at(self, address: int, length: int) -> bytes:
        """Return what stands in the memory, up to the end of what is there."""
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(length)

    def pieces_at(self, address: int, count: int) -> bytes:
        """Return what a vector of so many pieces describes."""
        vector = self.bytes_at(address, count * _PAIR.size)
        return b"".join(self.bytes_at(*pair) for pair in _PAIR.iter_unpack(vector))

    def _open(self, descriptor: int) -> str:
        return f"/proc/{self.pid}/fd/{descriptor}"


def describe(caller: Caller, call: str, arguments: Sequence[int]) -> Describe | None:
    """Return what makes the record of a call that begins; None where it does not concern us.

    Raises:
        OSError: the call names something that is not there: it will fail.
    """
    match call:
        case "open" | "creat" | "openat":
            return _describe_open(caller, call, arguments)
        case "write" | "pwrite64" | "writev" | "pwritev":
            return _describe_write(caller, call, arguments)
        case "ftruncate":
            return _describe_resize(caller, arguments)
        case "fsync" | "fdatasync":
            return _describe_flush(caller, arguments)
        case _:
            return _describe_names(caller, call, arguments)


def _describe_open(caller: Caller, call: str, arguments: Sequence[int]) -> Describe | None:
    base, address, flags = arguments[:3] if call == "openat" else (_HERE, *arguments[:2])
    if call == "creat":
        flags = os.O_CREAT | os.O_TRUNC
    if not flags & (os.O_CREAT | os.O_TRUNC):
        return None
    name = caller.name_at(base, address)
    if name is None:
        return None
    was_emptied = bool(flags & os.O_TRUNC)
    return lambda opened: ("open", name, caller.inode_of(opened), was_emptied)


def _describe_write(caller: Caller, call: str, arguments: Sequence[int]) -> Describe | None:
    descriptor, address, count, offset = arguments[:4]
    if caller.name_open_as(descriptor) is None:
        return None
    inode = caller.inode_of(descriptor)
    # Read before it is written: whoever is killed in the call takes its memory along.
    if call in {"writev", "pwritev"}:
        content = caller.pieces_at(address, count)
    else:
        content = caller.bytes_at(address, count)

    def record(written: int) -> Record:
        # Where no offset is given, the file has moved on by what was written.
        is_placed = call.startswith("p")
        begin = offset if is_placed else caller.position_of(descriptor) - written
        return ("write", inode, begin, content[:written])

    return record


def _describe_resize(caller: Caller, arguments: Sequence[int]) -> Describe | None:
    descriptor, length = arguments[:2]
    if caller.name_open_as(descriptor) is None:
        return None
    inode = caller.inode_of(descriptor)
    return lambda _: ("resize", inode, length)


def _describe_flush(caller: Caller, arguments: Sequence[int]) -> Describe | None:
    name = caller.name_open_as(arguments[0])
    if name is None:
        return None
    if name in {".", ".."}:
        return lambda _: ("flush names", name)
    inode = caller.inode_of(arguments[0])
    return lambda _: ("flush", inode)


def _describe_names(caller: Caller, call: str, arguments: Sequence[int]) -> Describe | None:
    first, second = _paths(call, arguments)
    old = caller.name_at(*first)
    new = caller.name_at(*second) if second is not None else None
    if call.startswith("mkdir"):
        return (lambda _: ("make directory",)) if old == "." else None
    if old is None and new is None:
        return None
    if call.startswith("unlink"):
        return lambda _: ("drop", old)
    kind = "link" if call.startswith("link") else "rename"
    return lambda _: (kind, old, new)


def _paths(call: str, arguments: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Return what the one or two paths of a call are relative to, and where they stand."""
    has_bases = "at" in call
    is_single = call.startswith(("unlink", "mkdir"))
    if has_bases:
        first = (arguments[0], arguments[1])
        return first, None if is_single else (arguments[2], arguments[3])
    first = (_HERE, arguments[0])
    return first, None if is_single else (_HERE, arguments[1])
