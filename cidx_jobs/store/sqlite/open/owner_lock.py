"""Owner lock: the process that holds ``owner.lock`` of a data directory owns it, for life."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import attrs

from cidx_jobs.model.errors import AlreadyOwnedError, StartRefusedError
from cidx_jobs.runtime.forks import withhold
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.open.location import Location, find_location
from cidx_jobs.store.sqlite.open.owner_record import (
    decode_record,
    describe_this_process,
    encode_record,
    name_owner,
    read_text,
    write_text,
)

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


@attrs.define
class Ownership:
    """The lock, held until `release`; a process that ends in any way lets go of it.

    So do the processes that it has forked: they never hold it.
    """

    location: Location
    """Where the owned directory lies."""
    _before: bytes
    """What the file said."""
    _descriptor: int | None
    _forget_forks: Callable[[], None]
    _is_stop_accepted: bool = attrs.field(init=False, default=False)

    @property
    def stopped_epoch(self) -> int:
        """The last start before this one that accepted a stop; 0 where none did."""
        return decode_record(self._before).stopped_epoch

    def introduce(self) -> None:
        """Write down who owns the directory now; what was known of a stop stays."""
        self._describe(self.stopped_epoch)

    def accept_stop(self, epoch: int) -> None:
        """Write down that this start, *epoch*, was told to stop; durable when this returns."""
        if not self._is_stop_accepted:
            self._is_stop_accepted = True
            self._describe(epoch)

    def withdraw(self) -> None:
        """Let the file say again what it said before: the directory was not taken after all."""
        self._write(self._before)

    def release(self) -> None:
        """Let go of the directory; twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Said aloud: closing it would leave the lock to whoever else has a copy of it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
            self._forget_forks()

    def _describe(self, stopped_epoch: int) -> None:
        self._write(encode_record(describe_this_process(stopped_epoch)))

    def _write(self, text: bytes) -> None:
        if self._descriptor is not None:
            # It is there to tell, and never a reason to fail, as on a full disk.
            with suppress(OSError):
                write_text(self._descriptor, text)


def take_ownership(directory: DataDirectory) -> Ownership:
    """Make the data directory, if need be, and become its one owner.

    The lock is not inherited by processes that are started or forked later, and is not on the
    database file, whose locks belong to SQLite.

    Raises:
        AlreadyOwnedError: another server owns it.
        StartRefusedError: it cannot be made or written.
    """
    try:
        return _take(directory)
    except OSError as error:
        raise cannot_use(directory, error) from error


@contextmanager
def owning_database(directory: DataDirectory) -> Iterator[None]:
    """Own a directory with a database that no server owns, for as long as it is worked on.

    Raises:
        AlreadyOwnedError: a server owns it.
        StartRefusedError: there is no database.
    """
    if not directory.database.exists():
        message = f"there is no database in {directory.root}"
        raise StartRefusedError(message)
    ownership = take_ownership(directory)
    try:
        yield
    finally:
        ownership.withdraw()
        ownership.release()


@contextmanager
def holding_unchanged(directory: DataDirectory) -> Iterator[None]:
    """Keep servers away from a directory for a moment, and leave no trace in it.

    Raises:
        AlreadyOwnedError: a server owns it.
        StartRefusedError: it cannot be made or written.
    """
    try:
        with ExitStack() as stack:
            if directory.owner_lock.exists():
                descriptor = os.open(directory.owner_lock, os.O_RDWR | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise _name_owner_in(descriptor, directory) from error
            else:
                _check_makeable(directory.root)
            yield
    except OSError as error:
        raise cannot_use(directory, error) from error


def _check_makeable(folder: Path) -> None:
    """Raise the OSError that making a file in the folder, or the folder itself, would raise."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        # A file without a name, which goes with its descriptor.
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
            raise
        # Not every file system has such files, and /proc says the same of what it cannot hold.
        Path(mkdtemp(dir=folder)).rmdir()


def cannot_use(directory: DataDirectory, error: Exception) -> StartRefusedError:
    """Return the refusal of a directory that the system does not let us use."""
    reason = _reason(error) if isinstance(error, OSError) else str(error)
    message = f"data_dir: the data directory {directory.root} cannot be used: {reason}"
    return StartRefusedError(message)


def _name_owner_in(descriptor: int, directory: DataDirectory) -> AlreadyOwnedError:
    record = decode_record(read_text(descriptor))
    way_out = "close the job system that has it" if record.is_own else "stop it"
    return AlreadyOwnedError(
        f"the data directory {directory.root} is owned by {name_owner(record)}: {way_out}, or "
        "use another directory"
    )


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
        refusal = _name_owner_in(descriptor, directory)
        os.close(descriptor)
        raise refusal from error
    except BaseException:
        os.close(descriptor)
        raise
    forget = withhold(lambda: [descriptor])
    ownership = Ownership(location, read_text(descriptor), descriptor, forget)
    ownership.introduce()
    return ownership


def _restrict(path: Path, mode: int) -> None:
    # A directory that somebody else owns may be served too; then its rights are not ours to set.
    if stat.S_IMODE(path.stat().st_mode) & ~mode:
        with suppress(PermissionError):
            path.chmod(mode)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
