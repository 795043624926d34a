"""High-water mark: how far the database had come, kept beside it to notice a loss.

A database that lost its write-ahead log, or was replaced by an older copy, passes SQLite's own
checks (guarantees.md, fact 6). The mark is written after each commit, so it is never ahead of
what is on the disk.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import attrs

from cidx_jobs.model.errors import DatabaseDamagedError

_FORM = re.compile(rb"seq ([0-9]{20}) batch ([0-9]{20})\n")


class Position(NamedTuple):
    """The last number of the log, and the number of the last transaction."""

    sequence: int
    batch: int


@attrs.define
class HighWaterMark:
    """The open mark file; its methods are called from one thread at a time."""

    _descriptor: int
    _write: Callable[[int, bytes, int], int] = os.pwrite

    def record(self, position: Position) -> None:
        """Write the position over the old one; a mark that cannot be written stays behind.

        It is not flushed to the disk: a mark that is behind refuses nothing.
        """
        with suppress(OSError):
            self._write(self._descriptor, _encode(position), 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def read_mark(path: Path) -> Position | None:
    """Return the position that the file holds; None when there is no file.

    Raises:
        DatabaseDamagedError: the file holds something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    found = _FORM.fullmatch(content)
    if found is None:
        message = f"{path} does not hold what was written into it"
        raise DatabaseDamagedError(message)
    return Position(int(found[1]), int(found[2]))


def open_mark(path: Path, position: Position) -> HighWaterMark:
    """Open the mark, made durable with *position* when it is not there yet."""
    if not path.exists():
        _create(path, position)
    return HighWaterMark(os.open(path, os.O_WRONLY | os.O_CLOEXEC))


def _create(path: Path, position: Position) -> None:
    # Renamed into place, so that a crash leaves no empty mark behind.
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _encode(position))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)


def _encode(position: Position) -> bytes:
    return b"seq %020d batch %020d\n" % position
