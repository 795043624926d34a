"""Builders of words: texts made into FTS5 segments in memory, in several threads at a time."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from cidx_jobs.settings import count_processors
from cidx_jobs.store.index.words.segments import BuiltWords, take_words

P = ParamSpec("P")
T = TypeVar("T")

MAX_BUILDERS = 4
"""So many build for one index at a time: more would only wait for whoever reads the texts."""
_HASH_BYTES = 64 * 1024 * 1024 // MAX_BUILDERS
"""So much FTS5 gathers in memory before it makes a segment of it."""

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
_CHECK = "INSERT INTO words (words) VALUES ('integrity-check')"


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
    """Return the words of texts, sound by SQLite's own check.

    Args:
        texts: contents' ids, each larger than the one before, with their texts, folded.

    Raises:
        UnknownFormatError: this SQLite keeps words in another form.
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
        db.execute(_CHECK)
        return take_words(db)
