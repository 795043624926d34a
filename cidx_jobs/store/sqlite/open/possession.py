"""The start: a data directory is taken into possession, checked, brought up to date, and owned.

Everything here blocks, and runs on a thread of its own; nothing of aiosqlite is involved, so that
a refused start leaves no thread behind.
"""

import os
import sqlite3
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import attrs
import msgspec

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.model.admin.backup import BackupKind
from cidx_jobs.model.errors import BackupFailedError, StartRefusedError, StorageFullError
from cidx_jobs.model.listing import StoreIdentity
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.backups.copy import make_backup
from cidx_jobs.store.sqlite.commit.connection import connect_for_start, read_only_uri
from cidx_jobs.store.sqlite.commit.high_water_mark import HighWaterMark, Position, open_mark
from cidx_jobs.store.sqlite.commit.transaction import Ledger
from cidx_jobs.store.sqlite.open.compact import begin_to_give_back
from cidx_jobs.store.sqlite.open.damage_check import inspecting, wal_of
from cidx_jobs.store.sqlite.open.location import decode_location, encode_location
from cidx_jobs.store.sqlite.open.migrations import Migration, apply_migrations, find_pending
from cidx_jobs.store.sqlite.open.owner_check import check_owner
from cidx_jobs.store.sqlite.open.owner_lock import (
    FILE_MODE,
    Ownership,
    cannot_use,
    holding_unchanged,
    protect,
    take_ownership,
)
from cidx_jobs.store.sqlite.values import to_microseconds

_LONG_LOG_BYTES = 16_000_000
"""About where the writer puts its log away after a commit."""

_READ_DATABASE_ID = "SELECT uuid FROM owner WHERE id = 1"
_READ_IDENTITY = "SELECT uuid, location FROM owner WHERE id = 1"
_BEGIN_EPOCH = """
UPDATE owner SET uuid = ?, location = ?, epoch = epoch + 1, batch = batch + 1 WHERE id = 1
"""
_LIST_TYPES = """
SELECT job_type FROM finals WHERE jobs > 0
UNION SELECT job_type FROM jobs INDEXED BY jobs_live WHERE finished_at IS NULL
"""
_READ_OWNER = "SELECT epoch, batch, sequence, clock_seconds FROM owner WHERE id = 1"


@attrs.define
class Possession:
    """An owned directory with a database that is ready; `release` gives it back."""

    identity: StoreIdentity
    ledger: Ledger
    mark: HighWaterMark
    has_long_log: bool
    """A server that was killed has left much to be put away."""
    _ownership: Ownership
    _connection: sqlite3.Connection | None

    def accept_stop(self) -> None:
        """Write down that this start was told to stop."""
        self._ownership.accept_stop(self.identity.epoch)

    def disconnect(self) -> None:
        """Close the connection of the start; done once others are open.

        Were it the last one it would move the whole write-ahead log into the database.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def release(self) -> None:
        """Let go of everything, once."""
        self.disconnect()
        self.mark.close()
        self._ownership.release()


def take_possession(
    directory: DataDirectory,
    synchronous: str,
    clock: Clock,
    migrations: tuple[Migration, ...],
) -> Possession:
    """Become the owner of the directory and begin a new epoch in its database.

    Raises:
        StartRefusedError: it is owned, damaged, of a newer schema, cannot be written, or others
            may write it; what it holds was left untouched.
    """
    check_owner(directory)
    with ExitStack() as undo:
        ownership = take_ownership(directory)
        undo.callback(ownership.release)
        undo.callback(ownership.withdraw)
        _check_rights(directory)
        try:
            with inspecting(directory, migrations) as is_there:
                if not is_there:
                    _create_private(directory)
                    _make_durable(directory)
                connection = connect_for_start(directory.database, synchronous)
                undo.callback(connection.close)
            # A log that is long already would be put away by the first commit, and all would
            # wait: the writer does it.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            _bring_up_to_date(connection, migrations, directory, clock)
            identity, ledger = _begin_epoch(connection, ownership)
            protect(directory)
            has_long_log = wal_of(directory.database).stat().st_size > _LONG_LOG_BYTES
            mark = open_mark(directory.high_water_mark, Position(ledger.sequence, ledger.batch))
        except (OSError, sqlite3.Error) as error:
            raise cannot_use(directory, error) from error
        undo.pop_all()
    return Possession(identity, ledger, mark, has_long_log, ownership, connection)


class Found(msgspec.Struct, frozen=True):
    """What lies in a directory that can be taken into possession."""

    pending: Sequence[Migration] = ()
    """The steps by which its database would be brought up to date."""
    job_types: Collection[str] = ()
    """The types of the jobs in it."""


def check_possession(directory: DataDirectory, migrations: tuple[Migration, ...]) -> Found:
    """Check that `take_possession` would succeed; nothing is made or changed.

    Returns what it would find.

    Raises: what that raises.
    """
    check_owner(directory)
    with holding_unchanged(directory):
        _check_rights(directory)
        log_index = Path(f"{directory.database}-shm")
        was_there = log_index.exists()
        try:
            with inspecting(directory, migrations) as is_there:
                return _read_found(directory.database, migrations) if is_there else Found()
        except sqlite3.Error as error:
            raise cannot_use(directory, error) from error
        finally:
            # Whoever reads a database that has a log makes one; the directory is ours meanwhile.
            if not was_there and directory.owner_lock.exists():
                log_index.unlink(missing_ok=True)


def _read_found(database: Path, migrations: Sequence[Migration]) -> Found:
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        names = {name for (name,) in connection.execute(_LIST_TYPES)}
        return Found(find_pending(connection, migrations), names)


def _bring_up_to_date(
    connection: sqlite3.Connection,
    migrations: tuple[Migration, ...],
    directory: DataDirectory,
    clock: Clock,
) -> None:
    is_older = bool(find_pending(connection, migrations))
    if is_older:
        # A version that does not please is left by a restore of this.
        _back_up(directory, clock)
    apply_migrations(connection, migrations, to_microseconds(clock.now()))
    if is_older:
        begin_to_give_back(connection, directory)


def _back_up(directory: DataDirectory, clock: Clock) -> None:
    try:
        make_backup(directory, BackupKind.MIGRATION, clock.now())
    except (StorageFullError, BackupFailedError) as error:
        message = (
            f"the database in {directory.root} is of an older version, and cannot be backed up "
            f"before it is brought up to date: {error.message}"
        )
        raise StartRefusedError(message) from error


def read_database_id(connection: sqlite3.Connection) -> str:
    """Return the id of the database, which a copy changes at its first start."""
    database_id: str
    (database_id,) = connection.execute(_READ_DATABASE_ID).fetchone()
    return database_id


def _check_rights(directory: DataDirectory) -> None:
    # SQLite itself would make the files beside a database that cannot be written, with the same
    # rights: those would be in the way still when the database can be written again.
    for file in directory.database_files:
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            message = f"{file} cannot be used: this user may not read and write it"
            raise StartRefusedError(message)


def _begin_epoch(
    connection: sqlite3.Connection, ownership: Ownership
) -> tuple[StoreIdentity, Ledger]:
    here = ownership.location
    connection.execute("BEGIN IMMEDIATE")
    known_as, location = connection.execute(_READ_IDENTITY).fetchone()
    # A copy shares its id with a database that may be in use: what it does in the name of that
    # id, as ending processes, would be done to the other.
    was_here = (before := decode_location(location)) is not None and here.is_same_as(before)
    database_id = known_as if was_here else str(uuid.uuid4())
    connection.execute(_BEGIN_EPOCH, (database_id, encode_location(here)))
    epoch, batch, sequence, seconds = connection.execute(_READ_OWNER).fetchone()
    connection.execute("COMMIT")
    identity = StoreIdentity(
        uuid=database_id,
        epoch=epoch,
        clock_seconds=seconds,
        lock=here.lock,
        stopped_epoch=ownership.stopped_epoch,
    )
    return identity, Ledger(epoch, batch, sequence)


def _create_private(directory: DataDirectory) -> None:
    # SQLite would make it readable by others; its log files take over the rights.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    os.close(os.open(directory.database, flags, FILE_MODE))


def _make_durable(directory: DataDirectory) -> None:
    # SQLite flushes the names of its files and not that of the directory: a power cut could take
    # a new one away with all that was committed in it.
    for above in directory.root.absolute().parents:
        # Where one may not be read, or cannot be flushed, somebody else has made it.
        with suppress(OSError):
            descriptor = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
