"""Builders of words: texts made into FTS5 segments in memory, in several threads at a time."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from cidx_jobs.settings import count_processors
from cidx_jobs.store.index.text import match_folded
from cidx_jobs.store.index.words.segments import BuiltWords, take_words

P = ParamSpec("P")
T = TypeVar("T")

MAX_BUILDERS = 4
"""So many build for one index at a time: more would only wait for whoever reads the texts."""
_HASH_BYTES = 64 * 1024 * 1024 // MAX_BUILDERS
"""So much FTS5 gathers in memory before it makes a segment of it."""
_SAMPLE_BYTES = 32

_CREATE = (
    "PRAGMA journal_mode = OFF",
    """
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='', tokenize='trigram case_sensitive 1', detail=none, columnsize=0
    )
    """,
)
_SET_HASH = "INSERT INTO words (words, rank) VALUES ('hashsize', ?)"
# One statement for all: the thread lets go of Python's lock once, and not for every text.
_ADD_ALL = """
    INSERT INTO words (rowid, text)
    SELECT value ->> 0, CAST(substr(?, value ->> 1, value ->> 2) AS TEXT) FROM json_each(?)
    """
_FIND = "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?"


class WordThreads:
    """The threads that build words for all indexes of a process: one a processor."""

    def __init__(self) -> None:
        """Count the processors; a thread starts when there is work for it."""
        self._number = count_processors()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def share(self) -> int:
        """So many of the threads may work for one index at a time."""
        return min(self._number, MAX_BUILDERS)

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Let a thread do *work* as soon as one has time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._number, "index-words")
        return self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        """End the threads; blocks until they are done. What comes later starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def build_words(texts: Sequence[tuple[int, bytes]]) -> BuiltWords:
    """Return the words of texts; the last text was looked up in them.

    Args:
        texts: contents' ids, each larger than the one before, with their texts, folded.

    Raises:
        UnknownFormatError: this SQLite keeps words in another form.
        sqlite3.DatabaseError: the last text is not found.
    """
    places, place = [], 1
    for content, text in texts:
        places.append((content, place, len(text)))
        place += len(text)
    with contextlib.closing(
        sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    ) as db:
        for statement in _CREATE:
            db.execute(statement)
        db.execute(_SET_HASH, (_HASH_BYTES,))
        db.execute(_ADD_ALL, (b"".join(text for _, text in texts), json.dumps(places)))
        if texts:
            _check_found(db, *texts[-1])
        return take_words(db)


def _check_found(db: sqlite3.Connection, content: int, text: bytes) -> None:
    expression = match_folded(text[-_SAMPLE_BYTES:].decode("utf-8", "ignore"))
    if expression is None:
        return
    if db.execute(_FIND, (expression, content)).fetchone() is None:
        message = "a text is not found in the words that were built of it"
        raise sqlite3.DatabaseError(message)
