"""Who owns a data directory: the process that holds the lock on its ``owner.lock``, for life."""

import fcntl
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

import attrs

from cidx_jobs.model.errors import AlreadyOwnedError, StartRefusedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.location import Location, find_location

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


@attrs.define
class Ownership:
    """The lock, held until `release`; a process that ends in any way lets go of it."""

    location: Location
    """Where the owned directory lies."""
    _descriptor: int | None

    def release(self) -> None:
        """Let go of the directory; twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def take_ownership(directory: DataDirectory) -> Ownership:
    """Make the data directory, if need be, and become its one owner.

    The lock is not inherited by programs that are started later, and is not on the database
    file, whose locks belong to SQLite.

    Raises:
        AlreadyOwnedError: another server owns it.
        StartRefusedError: it cannot be made or written.
    """
    try:
        return _take(directory)
    except OSError as error:
        message = f"the data directory {directory.root} cannot be used: {_reason(error)}"
        raise StartRefusedError(message) from error


def protect(directory: DataDirectory) -> None:
    """Take the rights of other users away from the directory and what we write into it."""
    _restrict(directory.root, DIRECTORY_MODE)
    for path in (*directory.database_files, directory.owner_lock):
        with suppress(FileNotFoundError):
            _restrict(path, FILE_MODE)


def _take(directory: DataDirectory) -> Ownership:
    directory.root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(directory.owner_lock, flags, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        location = find_location(descriptor, directory.root)
    except BlockingIOError as error:
        os.close(descriptor)
        owner = f"{_owner(directory)}: stop it, or use another directory"
        message = f"the data directory {directory.root} is owned by {owner}"
        raise AlreadyOwnedError(message) from error
    except BaseException:
        os.close(descriptor)
        raise
    return Ownership(location, descriptor)


def _owner(directory: DataDirectory) -> str:
    try:
        pid = json.loads(directory.server_file.read_text("utf-8"))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return "another server"
    return f"another server (pid {pid})"


def _restrict(path: Path, mode: int) -> None:
    # A directory that somebody else owns may be served too; then its rights are not ours to set.
    if stat.S_IMODE(path.stat().st_mode) & ~mode:
        with suppress(PermissionError):
            path.chmod(mode)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
