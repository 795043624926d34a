"""Contents written into an index: the words of some are built while the next are read.

What is written goes in portions. A portion is one transaction, its texts with their words, so
whatever cuts the writing off leaves both or neither.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path

import attrs

from cidx_jobs.model.index import Document
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.decode import decode
from cidx_jobs.store.index.text import fold
from cidx_jobs.store.index.words.builders import MAX_BUILDERS, WordThreads, build_words
from cidx_jobs.store.index.words.segments import (
    BuiltWords,
    UnknownFormatError,
    merge_words,
    put_words,
)

AT_RISK_BYTES = 8_000_000
"""So much is read again, at the most, by whoever goes on with an index that was cut off."""
# Each builder has one, and one is being read or waits for a builder.
_PORTION_BYTES = AT_RISK_BYTES // (MAX_BUILDERS + 1)
_PORTION_CONTENTS = 1_000
_MANY_SEGMENTS = 64
"""From so many on they are merged: a search looks into each of them, for each trigram."""

Begin = Callable[[], AbstractContextManager[None]]


@attrs.define
class _Portion:
    """Contents that are written together."""

    contents: int = 0
    """How many there are."""
    size: int = 0
    """Their bytes, as git gave them."""
    fresh: list[tuple[int, bytes, int, str | None, str | None]] = attrs.field(factory=list)
    """Rows of contents."""
    changed: list[tuple[str | None, str | None, int]] = attrs.field(factory=list)
    """Contents that were there without a text."""
    texts: list[tuple[int, bytes]] = attrs.field(factory=list)
    """What the words come from: ids and texts, folded."""
    words: Future[BuiltWords] | None = None
    """Being built; None where they are written one by one."""

    def takes(self, size: int) -> bool:
        """Return whether there is room for a content of so many bytes; for one there always is."""
        has_room = self.size + size <= _PORTION_BYTES and self.contents < _PORTION_CONTENTS
        return has_room or not self.contents


class ContentWriter:
    """Writes new contents and their words into one index; in one thread at a time."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        threads: WordThreads | None,
        large: Mapping[bytes, int],
    ) -> None:
        """Take where to write.

        Args:
            db: the index, whose words this connection has not used yet.
            path: its file.
            threads: build the words; None where there are so few that it is not worth it.
            large: the ids of contents, by name, that were too large and may be added now.
        """
        self._db = db
        self._path = path
        self._threads = threads
        self._large = large
        self._next: int = db.execute(index_sql.HIGHEST_CONTENT).fetchone()[0] + 1
        self._segments = 0
        self._under_way: deque[_Portion] = deque()
        self.written = 0
        """So many contents are in the index by now."""
        self.unchecked = 0
        """Of so many the words were not checked when they were built."""

    def write(self, documents: Iterable[Document], begin: Begin) -> None:
        """Add contents, in transactions that *begin* holds open; all are there when it returns."""
        portion = _Portion()
        try:
            for document in documents:
                if not portion.takes(len(document.data)):
                    self._hand_over(portion, begin)
                    portion = _Portion()
                self._take(portion, document)
            self._hand_over(portion, begin)
            while self._under_way:
                self._store(self._under_way.popleft(), begin)
        finally:
            for left in self._under_way:
                if left.words is not None:
                    left.words.cancel()
            self._under_way.clear()

    def _take(self, portion: _Portion, document: Document) -> None:
        name, size = bytes.fromhex(document.blob), len(document.data)
        text, skipped = decode(document.data, document.encoding)
        content = self._large.get(name)
        if content is None:
            content = self._next
            self._next += 1
            portion.fresh.append((content, name, size, skipped, text))
        else:
            portion.changed.append((skipped, text, content))
        if text:
            portion.texts.append((content, fold(text).encode()))
        portion.contents += 1
        portion.size += size

    def _hand_over(self, portion: _Portion, begin: Begin) -> None:
        portion.texts.sort()
        most = 0
        if self._threads is not None:
            portion.words = self._threads.start(build_words, portion.texts)
            most = self._threads.share
        self._under_way.append(portion)
        while self._under_way and (len(self._under_way) > most or _is_built(self._under_way[0])):
            self._store(self._under_way.popleft(), begin)

    def _store(self, portion: _Portion, begin: Begin) -> None:
        with begin():
            self._db.executemany(index_sql.ADD_CONTENT, portion.fresh)
            self._db.executemany(index_sql.CHANGE_LARGE_CONTENT, portion.changed)
            if not self._put_built(portion):
                texts = ((content, text.decode()) for content, text in portion.texts)
                self._db.executemany(index_sql.ADD_WORDS, texts)
                self.unchecked += portion.contents
        self.written += portion.contents
        if self._segments >= _MANY_SEGMENTS:
            self._segments = 0
            merge_words(self._path)

    def _put_built(self, portion: _Portion) -> bool:
        if self._threads is None or portion.words is None:
            return False
        try:
            self._segments = put_words(self._db, portion.words.result())
        except UnknownFormatError:
            # Once the connection uses its words, nothing may be put past it.
            self._threads = None
            return False
        return True


def _is_built(portion: _Portion) -> bool:
    return portion.words is None or portion.words.done()
