"""Reading an index: opening its database, and the state that it stores of itself; blocks."""

import contextlib
import json
import sqlite3
from pathlib import Path

from cidx_jobs.model.ids import JobId
from cidx_jobs.model.index import IndexState
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.text import fold


class OtherFormatError(sqlite3.DatabaseError):
    """The index is sound and was written by another version."""


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an index for reading only; usable from any one thread at a time."""
    db = sqlite3.connect(
        name_reader(path), uri=True, isolation_level=None, check_same_thread=False
    )
    add_functions(db)
    return db


def add_functions(db: sqlite3.Connection) -> None:
    """Let the connection know what the index's view of the texts is made with."""
    db.create_function("fold", 1, _fold, deterministic=True)


def _fold(text: str | None) -> str | None:
    return None if text is None else fold(text)


def complete(path: Path) -> None:
    """Bring everything in an index's log into its file, as far as its readers let it.

    Whoever opens the file after its log was removed then still sees its last publication.
    """
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def read_meta(db: sqlite3.Connection) -> dict[str, str]:
    """Return what an index says of itself."""
    return dict(db.execute(index_sql.READ_META).fetchall())


def check_format(db: sqlite3.Connection) -> None:
    """Check that the index is of the format that is written here.

    Raises:
        OtherFormatError: it is not.
        sqlite3.Error: it cannot be read.
    """
    if read_meta(db).get("format") != index_sql.FORMAT:
        message = "it is an index of another format"
        raise OtherFormatError(message)


def make_state(db: sqlite3.Connection, path: Path) -> IndexState | None:
    """Return what an index shows; None for one of another format or with nothing published."""
    meta = read_meta(db)
    if meta.get("format") != index_sql.FORMAT or "commit" not in meta:
        return None
    return IndexState(
        commit=meta["commit"],
        files_total=int(meta["files_total"]),
        files_indexed=int(meta["files_indexed"]),
        skipped=json.loads(meta["skipped"]),
        bytes=path.stat().st_size,
        published_by=JobId(meta["published_by"]),
        note=json.loads(meta["note"]),
    )


def name_reader(path: Path) -> str:
    """Return the name by which SQLite opens an index for reading only."""
    return f"{path.absolute().as_uri()}?mode=ro"
