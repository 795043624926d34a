"""Damage check of a data directory, before anything in it is touched.

SQLite itself accepts a database that lost its write-ahead log or its end (guarantees.md, fact 6),
so the files are compared with each other and with the high-water mark first.
"""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cidx_jobs.model.errors import DatabaseDamagedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.commit.connection import read_only_uri
from cidx_jobs.store.sqlite.commit.high_water_mark import Position, read_mark
from cidx_jobs.store.sqlite.open.migrations import Migration, check_migrations, has_schema

# The layout of both files: sqlite.org/fileformat2.html
_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_MAGIC = frozenset({0x377F0682, 0x377F0683})
_WAL_HEADER = struct.Struct(">IIIIIIII")
_FRAME_HEADER = struct.Struct(">IIIIII")
_FREE_HEADER = struct.Struct(">II")
_ROOM_IN_PAGES = 20
"""Where the header says how much of each page is kept free: nothing, in ours."""
_FINE = [("ok",)]
_LARGEST_PAGE = 65_536
_SMALLEST_PAGE = 512
_READ_BYTES = 1024 * 1024

_READ_POSITION = "SELECT sequence, batch FROM owner WHERE id = 1"
_FIND_LOG = "SELECT name FROM sqlite_schema WHERE name = 'log'"
_LAST_OF_LOG = "SELECT coalesce(max(seq), 0) FROM log"
_LAST_OF_OLD_LOG = "SELECT coalesce(max(seq), 0) FROM events"
_TABLES = ("jobs", "events", "checkpoints", "idempotency", "projects", "tokens", "finals")


class _Header(NamedTuple):
    page_size: int
    page_count: int
    is_count_valid: bool
    first_free: int
    """The first page of the list of free pages; 0 without one."""
    free_count: int


def wal_of(database: Path) -> Path:
    """Return the path of the database's write-ahead log."""
    return Path(f"{database}-wal")


@contextmanager
def inspecting(directory: DataDirectory, migrations: tuple[Migration, ...]) -> Iterator[bool]:
    """Tell whether there is a database to go on with; only reads.

    It stays open for as long as the block lasts: who opens it within, after a crash, finds the
    log's index made, and need not read the whole log again.

    Raises:
        DatabaseDamagedError: a file is missing, cut, older than its mark, or not ours.
        SchemaTooNewError: a newer version wrote it.
    """
    database = directory.database
    mark = read_mark(directory.high_water_mark)
    wal_bytes = _size(wal_of(database)) or 0
    if not _size(database):
        if mark is not None or wal_bytes:
            message = f"{database} is missing or empty, but was in use before"
            raise DatabaseDamagedError(message)
        yield False
        return
    try:
        is_short = _check_pages(database)
        connection = _inspect_database(
            database, mark, migrations, has_wal=wal_bytes > 0, is_short=is_short
        )
    except (sqlite3.Error, struct.error) as error:
        message = f"{database} cannot be read: {error}"
        raise DatabaseDamagedError(message) from error
    with closing(connection):
        yield True


def check_copy(file: Path, migrations: tuple[Migration, ...]) -> None:
    """Check a copy of a database that nobody uses; only reads, and leaves nothing beside it.

    Raises:
        DatabaseDamagedError: it is cut, or not ours.
        SchemaTooNewError: a newer version wrote it.
        sqlite3.Error, struct.error, OSError: it cannot be read.
    """
    _check_pages(file)
    uri = read_only_uri(file, "immutable=1")
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        if not has_schema(connection):
            message = f"{file} holds no jobs: it is no backup"
            raise DatabaseDamagedError(message)
        _check_contents(connection, None, migrations)


def _inspect_database(
    database: Path,
    mark: Position | None,
    migrations: tuple[Migration, ...],
    *,
    has_wal: bool,
    is_short: bool,
) -> sqlite3.Connection:
    # Without a log even the helper files of a reader would be a trace; with one they are needed.
    options = "mode=ro" if has_wal else "immutable=1"
    shared = Path(f"{database}-shm")
    was_there = shared.exists()
    try:
        uri = read_only_uri(database, options)
        with ExitStack() as undo:
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            undo.callback(connection.close)
            if is_short:
                _check_all_pages(connection, database)
            _check_contents(connection, mark, migrations)
            undo.pop_all()
    except BaseException:
        # Nobody else can use it: the directory is ours.
        if not was_there:
            shared.unlink(missing_ok=True)
        raise
    return connection


def _check_all_pages(connection: sqlite3.Connection, database: Path) -> None:
    if connection.execute("PRAGMA quick_check(1)").fetchall() != _FINE:
        message = f"{database} is damaged: a part of it is missing"
        raise DatabaseDamagedError(message)


def _check_contents(
    connection: sqlite3.Connection, mark: Position | None, migrations: tuple[Migration, ...]
) -> None:
    if mark is None and not has_schema(connection):
        # A start was cut off before it made anything.
        return
    check_migrations(connection, migrations)
    row = connection.execute(_READ_POSITION).fetchone()
    # An older version kept the log in another table.
    is_new = connection.execute(_FIND_LOG).fetchone() is not None
    (last_event,) = connection.execute(_LAST_OF_LOG if is_new else _LAST_OF_OLD_LOG).fetchone()
    if row is None or last_event > row[0]:
        message = "the database's own counters are wrong"
        raise DatabaseDamagedError(message)
    if mark is not None and (row[0] < mark.sequence or row[1] < mark.batch):
        message = (
            f"the database ends at event {row[0]} (transaction {row[1]}), but event "
            f"{mark.sequence} (transaction {mark.batch}) was stored: it was rolled back, or lost "
            "its write-ahead log. To go on with it all the same, or with a backup: "
            "cidx-jobs restore FILE --data-dir DIRECTORY --replace"
        )
        raise DatabaseDamagedError(message)
    for table in _TABLES:
        connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()  # noqa: S608 - constants


def _check_pages(database: Path) -> bool:
    """Check that every page is there; tell whether the file is shorter than it says itself.

    That is what a checkpoint leaves which was cut off, with the rest in the log; but also what a
    part that was taken out leaves, which only a look at every page tells.
    """
    with database.open("rb") as file:
        header = _read_header(file.read(_HEADER_BYTES), database)
        wal = wal_of(database)
        in_wal, count_in_wal = _read_wal(wal, header.page_size) if _size(wal) else (set(), None)
        # With the first page in the log nobody reads this one's counts any more.
        if 1 not in in_wal:
            _check_free_list(file, header, in_wal, database)
    if count_in_wal is None and not header.is_count_valid:
        return False
    stored = (_size(database) or 0) // header.page_size
    needed = count_in_wal or header.page_count
    if any(page not in in_wal for page in range(stored + 1, needed + 1)):
        message = f"{database} is cut: {stored} of {needed} pages are there"
        raise DatabaseDamagedError(message)
    return header.is_count_valid and stored < header.page_count


def _check_free_list(file: BinaryIO, header: _Header, in_wal: set[int], database: Path) -> None:
    page, found = header.first_free, 0
    # Whoever writes takes pages from this list, and comes to grief where it is wrong.
    while page and page not in in_wal and found < header.free_count:
        file.seek((page - 1) * header.page_size)
        content = file.read(_FREE_HEADER.size)
        if len(content) < _FREE_HEADER.size:
            message = f"{database} is cut: page {page}, a free one, is not there"
            raise DatabaseDamagedError(message)
        page, leaves = _FREE_HEADER.unpack(content)
        found += 1 + leaves
    if page not in in_wal and (page or found != header.free_count):
        message = f"{database} has a damaged header: its list of free pages is not the one it says"
        raise DatabaseDamagedError(message)


def _read_header(content: bytes, database: Path) -> _Header:
    if len(content) < _HEADER_BYTES or not content.startswith(_MAGIC):
        message = f"{database} is no SQLite database"
        raise DatabaseDamagedError(message)
    (size,) = struct.unpack_from(">H", content, 16)
    page_size = _LARGEST_PAGE if size == 1 else size
    # Pages are given back in steps, or, in a database of an older version, never.
    (largest_root,) = struct.unpack_from(">I", content, 52)
    (is_stepwise,) = struct.unpack_from(">I", content, 64)
    is_ours = not content[_ROOM_IN_PAGES] and is_stepwise == bool(largest_root)
    if page_size < _SMALLEST_PAGE or page_size & (page_size - 1) or not is_ours:
        message = f"{database} has a damaged header"
        raise DatabaseDamagedError(message)
    changes, page_count, first_free, free_count = struct.unpack_from(">IIII", content, 24)
    (valid_for,) = struct.unpack_from(">I", content, 92)
    is_valid = page_count > 0 and changes == valid_for
    return _Header(page_size, page_count, is_valid, first_free, free_count)


def _read_wal(wal: Path, page_size: int) -> tuple[set[int], int | None]:
    """Return the pages in the log, and how many pages the database has after its last commit."""
    pages: set[int] = set()
    count = None
    with wal.open("rb") as file:
        header = file.read(_WAL_HEADER.size)
        if len(header) < _WAL_HEADER.size:
            return pages, count
        magic, _, size, _, *salts, _, _ = _WAL_HEADER.unpack(header)
        if magic not in _WAL_MAGIC or size != page_size:
            return pages, count
        frame_bytes = _FRAME_HEADER.size + page_size
        # Many frames at a time: a log of 64 MB has 16,000, and somebody waits for the start.
        while frames := file.read(max(1, _READ_BYTES // frame_bytes) * frame_bytes):
            for place in range(0, len(frames) - _FRAME_HEADER.size + 1, frame_bytes):
                page, commit_size, *own_salts, _, _ = _FRAME_HEADER.unpack_from(frames, place)
                if own_salts != salts:
                    return pages, count
                pages.add(page)
                count = commit_size or count
    return pages, count


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
