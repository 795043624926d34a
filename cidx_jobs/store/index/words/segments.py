"""FTS5 segments: taken out of one table of words and put into another; all of it blocks.

FTS5 keeps what was added at a time as a segment: sorted pages in ``words_data``, the first term of
each page in ``words_idx``, and a list of all segments, the structure, in a row of its own. Nothing
in a segment tells of another one, so it moves by copying its pages under a free number and
entering it in the structure. The format is written down at the head of SQLite's ``fts5_index.c``,
and stays: SQLite reads the databases of every older version. What is not of it is refused.

The rows are written past FTS5, which does not notice: a connection that has used its words before
goes on with the structure that it remembers.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

_AVERAGES_ROW = 1
_STRUCTURE_ROW = 10
"""The two rows that FTS5 keeps of an index itself (FTS5_AVERAGES_ROWID and FTS5_STRUCTURE_ROWID in
SQLite's fts5_index.c)."""
_SEGMENT_BITS = 37
"""The row of a page holds its segment's number above so many bits."""
_COOKIE_BYTES = 4
_MAX_SEGMENTS = 1_999
"""FTS5 begins no segment once there are 2,000 (FTS5_MAX_SEGMENT in fts5_index.c)."""
_BITS = 7
_MORE = 0x80
_LONGEST_VARINT = 9
_MOVED_LEVEL = 1
"""Level 0 is for the small segments of single changes, which FTS5 merges as they come."""

_PAGES_AT_ONCE = 500

_READ_ROW = "SELECT block FROM words_data WHERE id = ?"
_WRITE_ROW = "REPLACE INTO words_data (id, block) VALUES (?, ?)"
_READ_PAGES = "SELECT id - ?, block FROM words_data WHERE id >= ? AND id < ? ORDER BY id"
_WRITE_PAGE = "INSERT INTO words_data (id, block) VALUES (?, ?)"
_READ_TERMS = "SELECT term, pgno FROM words_idx WHERE segid = ? ORDER BY term"
_WRITE_TERM = "INSERT INTO words_idx (segid, term, pgno) VALUES (?, ?, ?)"
_MERGE = "INSERT INTO words (words, rank) VALUES ('merge', ?)"


class UnknownFormatError(sqlite3.DatabaseError):
    """The words are kept in a form that is not known here, or there is no room for more."""


class Segment(NamedTuple):
    """An entry of a structure."""

    number: int
    first_page: int
    last_page: int


class Level(NamedTuple):
    """Segments of about the same size, the oldest first."""

    merging: int
    """So many of them, from the first, are being merged into the next level."""
    segments: tuple[Segment, ...]


class Structure(NamedTuple):
    """All segments of a table of words."""

    cookie: bytes
    pages_written: int
    levels: tuple[Level, ...]
    """The one with the newest segments first."""

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments of all levels, the oldest first."""
        return [segment for level in reversed(self.levels) for segment in level.segments]


class BuiltSegment(NamedTuple):
    """A segment with its rows."""

    first_page: int
    last_page: int
    pages: Sequence[tuple[int, bytes]]
    """Row numbers without the segment's, and pages."""
    terms: Sequence[tuple[bytes, int]]
    """First terms, and where their pages are."""


class BuiltWords(NamedTuple):
    """Everything in a table of words."""

    totals: Sequence[int]
    """How many texts, and how many words are in them; nothing where there are none."""
    segments: Sequence[BuiltSegment]


def take_words(db: sqlite3.Connection) -> BuiltWords:
    """Return all words of a database.

    Raises:
        UnknownFormatError: that is not how they are kept.
    """
    segments = [
        BuiltSegment(
            first_page=segment.first_page,
            last_page=segment.last_page,
            pages=db.execute(
                _READ_PAGES, (_first_row(segment.number), *_rows(segment))
            ).fetchall(),
            terms=db.execute(_READ_TERMS, (segment.number,)).fetchall(),
        )
        for segment in read_structure(db).segments
    ]
    return BuiltWords(_read_totals(db), segments)


def put_words(db: sqlite3.Connection, words: BuiltWords) -> int:
    """Add words to a database, in the transaction that is open; none of its texts may be in them.

    Returns how many segments there are that were put there and not merged yet.

    Raises:
        UnknownFormatError: nothing was written.
    """
    structure, totals = read_structure(db), _read_totals(db)
    numbers = _take_free_numbers(structure, len(words.segments))
    moved = []
    for number, built in zip(numbers, words.segments, strict=True):
        first = _first_row(number)
        db.executemany(_WRITE_PAGE, ((first + row, page) for row, page in built.pages))
        db.executemany(_WRITE_TERM, ((number, term, place) for term, place in built.terms))
        moved.append(Segment(number, built.first_page, built.last_page))
    levels = list(structure.levels)
    levels += [Level(0, ())] * (_MOVED_LEVEL + 1 - len(levels))
    level = levels[_MOVED_LEVEL]
    levels[_MOVED_LEVEL] = level._replace(segments=(*level.segments, *moved))
    _write_structure(db, structure._replace(levels=tuple(levels)))
    _write_totals(db, totals, words.totals)
    return len(levels[_MOVED_LEVEL].segments)


def merge_words(path: Path) -> None:
    """Let FTS5 merge the segments of a database, in a connection of its own and in small steps."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = NORMAL")
        while True:
            before = db.total_changes
            db.execute(_MERGE, (_PAGES_AT_ONCE,))
            # A difference of less than 2 is that of a merge without work (sqlite.org/fts5.html).
            if db.total_changes - before < 2:  # noqa: PLR2004
                break


def read_structure(db: sqlite3.Connection) -> Structure:
    """Return how the words are divided into segments.

    Raises:
        UnknownFormatError: that is not how they are kept.
    """
    row = _read_row(db, _STRUCTURE_ROW)
    numbers = _varints(row[_COOKIE_BYTES:])
    try:
        how_many, total, pages_written = next(numbers), next(numbers), next(numbers)
        levels = []
        for _ in range(how_many):
            merging, length = next(numbers), next(numbers)
            segments = [
                Segment(next(numbers), next(numbers), next(numbers)) for _ in range(length)
            ]
            levels.append(Level(merging, tuple(segments)))
    except StopIteration:
        raise _unknown() from None
    structure = Structure(row[:_COOKIE_BYTES], pages_written, tuple(levels))
    if len(structure.segments) != total or next(numbers, None) is not None:
        raise _unknown()
    return structure


def _write_structure(db: sqlite3.Connection, structure: Structure) -> None:
    numbers = [len(structure.levels), len(structure.segments), structure.pages_written]
    for level in structure.levels:
        numbers += [level.merging, len(level.segments)]
        for segment in level.segments:
            numbers += segment
    row = structure.cookie + b"".join(map(_varint, numbers))
    db.execute(_WRITE_ROW, (_STRUCTURE_ROW, row))


def _take_free_numbers(structure: Structure, wanted: int) -> Sequence[int]:
    used = {segment.number for segment in structure.segments}
    if len(used) + wanted > _MAX_SEGMENTS:
        raise _unknown()
    free = (number for number in count(1) if number not in used)
    return [next(free) for _ in range(wanted)]


def _read_totals(db: sqlite3.Connection) -> Sequence[int]:
    return list(_varints(_read_row(db, _AVERAGES_ROW)))


def _write_totals(db: sqlite3.Connection, some: Sequence[int], more: Sequence[int]) -> None:
    together = [a + b for a, b in zip(some, more, strict=True)] if some and more else some or more
    db.execute(_WRITE_ROW, (_AVERAGES_ROW, b"".join(map(_varint, together))))


def _first_row(number: int) -> int:
    return number << _SEGMENT_BITS


def _rows(segment: Segment) -> tuple[int, int]:
    return _first_row(segment.number), _first_row(segment.number + 1)


def _read_row(db: sqlite3.Connection, number: int) -> bytes:
    found = db.execute(_READ_ROW, (number,)).fetchone()
    if found is None or not isinstance(found[0], bytes):
        raise _unknown()
    row: bytes = found[0]
    return row


def _varints(data: bytes) -> Iterator[int]:
    """Yield the numbers in *data*: seven bits a byte, the highest first, as SQLite writes them."""
    value = length = 0
    for byte in data:
        value, length = value << _BITS | byte & ~_MORE, length + 1
        if length == _LONGEST_VARINT:
            # It would hold eight bits in its last byte; nothing is so large here.
            raise _unknown()
        if not byte & _MORE:
            yield value
            value = length = 0
    if length:
        raise _unknown()


def _varint(value: int) -> bytes:
    data = [value & ~_MORE]
    while value := value >> _BITS:
        data.append(value & ~_MORE | _MORE)
    return bytes(part & 0xFF for part in reversed(data))


def _unknown() -> UnknownFormatError:
    return UnknownFormatError("the words are kept in an unknown form, or there are too many")
