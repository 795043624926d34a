"""What an index is asked besides searches: what it leaves out, and whether it is sound; blocks."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from cidx_jobs.model.index import IndexState, SkippedFile
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.files import IndexFiles
from cidx_jobs.store.index.state import (
    OtherFormatError,
    add_functions,
    check_format,
    make_state,
    open_reader,
)
from cidx_jobs.store.index.text import match_sample

_CHEAP_TO_CHECK_BYTES = 2 * 1024 * 1024
"""An index of this size is checked whole, also where nobody asks for a deep look."""
_SAMPLES = (0, 50, 95)
"""Where in the contents, in percent, a text is looked up."""
_CODE_MASK = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""
# Of a file that is no sound database; the others are of its disk, its rights and its readers.
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_damage(error: BaseException) -> bool:
    """Return whether an error of SQLite says that the file is damaged."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _CODE_MASK
    return not isinstance(error, OtherFormatError) and code in _DAMAGE


def load_state(files: IndexFiles) -> IndexState | None:
    """Return what the index shows; None where there is none or it is damaged."""
    try:
        path = files.current()
        if path is None or files.is_damaged(path):
            return None
        with contextlib.closing(open_reader(path)) as db:
            return make_state(db, path)
    except (sqlite3.Error, OSError, ValueError, KeyError):
        return None


def list_skipped(files: IndexFiles, after: str, limit: int) -> Sequence[SkippedFile]:
    """Return what is not in the index, by path, from behind *after*."""
    try:
        path = files.current()
        if path is None:
            return ()
        with contextlib.closing(open_reader(path)) as db:
            check_format(db)
            rows = db.execute(index_sql.LIST_SKIPPED, (after, limit)).fetchall()
    except (sqlite3.Error, OSError):
        return ()
    return [SkippedFile(path=name, reason=why, bytes=size) for name, why, size in rows]


def find_fault(files: IndexFiles, *, deep: bool) -> str | None:
    """Return what is wrong with the index, and mark it damaged then."""
    path = files.current()
    if path is None:
        return None
    if files.is_damaged(path):
        return "its index was found damaged"
    try:
        fault = _examine(path, deep=deep)
    except (sqlite3.Error, ValueError, KeyError) as error:
        if not is_damage(error):
            return None
        fault = "its index cannot be read"
    if fault is not None:
        files.mark_damaged(path)
    return fault


def _examine(path: Path, *, deep: bool) -> str | None:
    with contextlib.closing(open_reader(path)) as db:
        check_format(db)
        if make_state(db, path) is None:
            return "its index does not say what it holds"
        for share in _SAMPLES:
            if not _finds_sample(db, share):
                return "a text that its index holds is not found"
        if not deep and path.stat().st_size > _CHEAP_TO_CHECK_BYTES:
            return None
        if db.execute(index_sql.CHECK_PAGES).fetchone() != ("ok",):
            return "its index fails SQLite's check"
    return _check_words(path) if deep else None


def _finds_sample(db: sqlite3.Connection, share: int) -> bool:
    row = db.execute(index_sql.SAMPLE_SHOWN, (share,)).fetchone()
    if row is None:
        return True
    content, text = row
    expression = match_sample(text)
    if expression is None:
        return True
    return db.execute(index_sql.IS_FOUND, (expression, content)).fetchone() is not None


def _check_words(path: Path) -> str | None:
    # The check is a write to SQLite, which changes nothing.
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        add_functions(db)
        try:
            db.execute(index_sql.CHECK_WORDS)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return "the words of its index do not fit its texts"
    return None
