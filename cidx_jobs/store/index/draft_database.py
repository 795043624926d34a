"""Writes to the database of an index; all of it blocks and runs in the draft's thread."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.index import (
    Document,
    Publication,
    SkippedFiles,
    TreeChanges,
    TreeEntry,
    WantedFile,
)
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.state import (
    add_functions,
    check_format,
    make_state,
    name_reader,
    read_meta,
)
from cidx_jobs.store.index.text import match_sample
from cidx_jobs.store.index.words.builders import WordThreads
from cidx_jobs.store.index.words.contents import ContentWriter

_CACHE_KIBIBYTES = 16_000
_PAGE_BYTES = 8_192
"""Two sources of ordinary length leave less of it empty than of half of it."""
_EXAMPLES = 20
_CHEAP_TO_CHECK_BYTES = 16 * 1024 * 1024
_MANY_DOCUMENTS = 1_000
_MANY_BYTES = 2 * 1024 * 1024
"""From so many on, the words of new texts are built side by side."""


class Stopped(Exception):  # noqa: N818 - it ends a thread's work and is no error
    """The work was told to stop; what it had begun is undone."""


class DraftDatabase:
    """One connection that changes one index, and the temporary tables of its draft."""

    def __init__(
        self, path: Path, *, is_new: bool, base: Path | None, threads: WordThreads
    ) -> None:
        """Open the index at *path*.

        Args:
            path: the file; it is made if it is not there.
            is_new: it is not what searches see yet.
            base: what searches see, if that is another file that can be read.
            threads: build the words of many texts.

        Raises:
            sqlite3.DatabaseError: it is damaged.
        """
        self.path = path
        self._is_new = is_new
        self._base = base
        self._published = 0
        self._total = 0
        self._max_file_bytes = 0
        self._threads = threads
        self._stop = threading.Event()
        exists = path.is_file() and path.stat().st_size > 0
        self._db = sqlite3.connect(
            path.absolute().as_uri(), uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(exists=exists)
            self._writer = self._make_writer(0)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, *, exists: bool) -> None:
        path = self.path
        path.chmod(0o600)
        add_functions(self._db)
        # A new index is worth nothing before it is synced and named: a power cut may have it.
        synchronous = "OFF" if self._is_new else "NORMAL"
        # The size of a page counts only where there is none yet.
        size = f"page_size={_PAGE_BYTES}"
        for pragma in (size, "journal_mode=WAL", f"synchronous={synchronous}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
        with self._transaction():
            if not exists:
                for statement in index_sql.CREATE:
                    self._db.execute(statement)
                self._db.execute(index_sql.WRITE_META, ("format", index_sql.FORMAT))
        check_format(self._db)
        for statement in index_sql.CREATE_DRAFT:
            self._db.execute(statement)
        # Of a new index that was finished and never named to searches all is still to be shown.
        highest = 0 if self._is_new else read_meta(self._db).get("highest_content", 0)
        self._published = int(highest)

    @property
    def has_base(self) -> bool:
        """True where it is known what searches see now."""
        return not self._is_new or self._base is not None

    def stop(self) -> None:
        """Make the thread's work end soon, by `Stopped`; called from another thread."""
        self._stop.set()
        self._db.interrupt()

    def close(self) -> None:
        """Undo what is not committed, and let go of the file."""
        self._db.close()

    def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        """Take the tree and find out what is different and what is lacking.

        All of it happens in temporary tables: a tree takes no memory of this process.
        """
        with self._shown(), self._transaction():
            self._db.executemany(index_sql.ADD_DUE, _rows(self._until_stopped(tree)))
            self._db.execute(index_sql.ADD_GONE)
            count = index_sql.COUNT_CHANGES if self.has_base else index_sql.COUNT_ALL_NEW
            counts = self._db.execute(count).fetchone()
            if not self._is_new:
                self._db.execute(index_sql.DROP_UNCHANGED, (max_file_bytes,))
            staged = self._number(index_sql.COUNT_STAGED, self._published)
            self._db.execute(index_sql.ADD_TOO_LARGE, (max_file_bytes,))
            self._db.execute(index_sql.ADD_WANTED, (max_file_bytes,))
        wanted, wanted_bytes = self._db.execute(index_sql.COUNT_WANTED).fetchone()
        self._writer = self._make_writer(wanted_bytes)
        fresh, modified, renamed, gone, self._total, total_bytes = counts
        self._max_file_bytes = max_file_bytes
        return TreeChanges(
            added=fresh - renamed,
            modified=modified,
            renamed=renamed,
            deleted=gone - renamed,
            total=self._total,
            total_bytes=total_bytes,
            wanted=wanted,
            staged=staged,
        )

    def _make_writer(self, bytes_wanted: int) -> ContentWriter:
        large = dict(self._db.execute(index_sql.LIST_LARGE_WANTED).fetchall())
        threads = self._threads if bytes_wanted >= _MANY_BYTES else None
        return ContentWriter(self._db, self.path, threads, large)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Let the view ``shown`` be what searches see, within the block."""
        if not self._is_new:
            view = index_sql.SHOW_MAIN
        elif self._base is None:
            view = index_sql.SHOW_NOTHING
        else:
            view = index_sql.SHOW_BASE
            self._db.execute(index_sql.ATTACH_SHOWN, (name_reader(self._base),))
        try:
            self._db.execute(view)
            yield
        finally:
            self._db.execute(index_sql.DROP_SHOWN)
            if view == index_sql.SHOW_BASE:
                self._db.execute(index_sql.DETACH_SHOWN)

    def list_wanted(self, after: int, max_files: int) -> list[tuple[int, WantedFile]]:
        """Return the next wanted files with their numbers."""
        rows = self._db.execute(index_sql.TAKE_WANTED, (after, max_files))
        return [(number, WantedFile(path, blob.hex(), size)) for number, path, blob, size in rows]

    def add(self, documents: Iterable[Document]) -> None:
        """Add contents, in transactions of a few megabytes."""
        self._writer.write(self._until_stopped(documents), self._transaction)

    @property
    def written(self) -> int:
        """How many contents were added; from any thread."""
        return self._writer.written

    def count_due(self) -> int:
        """Count the files, of those that are not too large, whose rows are to be written."""
        return self._number(index_sql.COUNT_DUE, self._max_file_bytes)

    def list_due(self, after: str, limit: int) -> list[TreeEntry]:
        """Return these files, by path, from behind the path *after*."""
        rows = self._db.execute(index_sql.LIST_DUE, (after, self._max_file_bytes, limit))
        return [TreeEntry(path, mode, blob.hex(), size) for path, mode, blob, size in rows]

    def list_gone(self) -> list[str]:
        """Return the paths that are no files, or no small ones, any more."""
        rows = self._db.execute(index_sql.LIST_GONE, (self._max_file_bytes,))
        return [path for (path,) in rows]

    def list_not_due(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that are none of the files of `list_due`."""
        ask = index_sql.IS_DUE, self._max_file_bytes
        return [
            path for path in paths if self._db.execute(ask[0], (path, ask[1])).fetchone() is None
        ]

    def list_left_out(self, most: int) -> tuple[list[dict[str, str]], int]:
        """Return the first paths that a program is not given, with the reasons, and how many."""
        rows = self._db.execute(index_sql.LIST_LEFT_OUT).fetchall()
        return [{"path": path, "reason": reason} for reason, path in rows[:most]], len(rows)

    def add_unwritten(self, paths: Iterable[str]) -> None:
        """Take files that a program cannot be given: no file system holds their paths."""
        with self._transaction():
            self._db.executemany(index_sql.ADD_UNWRITTEN, [(path,) for path in paths])

    def add_without_texts(self) -> None:
        """Let all wanted contents be there, with nothing to be found in them."""
        with self._transaction():
            self._db.execute(index_sql.ADD_WITHOUT_TEXTS)

    def publish(self, commit: str, job_id: JobId, note: JsonObject) -> Publication:
        """Show the incoming tree and drop what nobody needs any more, if all of it is sound.

        Raises:
            JobFailure: it is not (IDX-002); nothing is changed.
        """
        with self._transaction():
            self._write_files()
            self._check()
            skipped = self._list_left_out()
            counts = {
                "files_indexed": self._count_newly_indexed(),
                "files_skipped": sum(some.count for some in skipped),
            }
            self._write_meta(commit, job_id, {**note, **counts})
        state = make_state(self._db, self.path)
        if state is None:
            _refuse("it does not say what it holds")
        return Publication(state=state, skipped=skipped)

    def _write_files(self) -> None:
        if self._is_new:
            # Those of a run that ended between the end of its draft and its naming.
            self._db.execute(index_sql.DROP_FILES)
        else:
            for statement in index_sql.ADD_LOOSE:
                self._db.execute(statement)
        self._db.execute(index_sql.DROP_GONE_FILES)
        self._db.execute(index_sql.WRITE_FILES)
        if self._number(index_sql.COUNT_UNUSED):
            self._db.execute(index_sql.ADD_STAGED_TO_LOOSE, (self._published,))
            self._db.execute(index_sql.DROP_UNUSED_WORDS)
            self._db.execute(index_sql.DROP_UNUSED_CONTENTS)

    def _count_newly_indexed(self) -> int:
        if self._is_new:
            return self._number(index_sql.COUNT_FINDABLE)
        return self._number(index_sql.COUNT_NEWLY_INDEXED, self._published)

    def _write_meta(self, commit: str, job_id: JobId, note: JsonObject) -> None:
        values = {
            "commit": commit,
            "published_by": job_id,
            "note": json.dumps(note),
            "files_total": str(self._number(index_sql.COUNT_FILES)),
            "files_indexed": str(self._number(index_sql.COUNT_FINDABLE)),
            "skipped": json.dumps(dict(self._db.execute(index_sql.COUNT_SKIPPED))),
            "highest_content": str(self._number(index_sql.HIGHEST_CONTENT)),
        }
        self._db.executemany(index_sql.WRITE_META, values.items())

    def _list_left_out(self) -> tuple[SkippedFiles, ...]:
        rows = self._db.execute(index_sql.LIST_LEFT_OUT)
        found = []
        for reason, group in groupby(rows, key=lambda row: row[0]):
            examples: list[str] = []
            count = 0
            for count, (_, path) in enumerate(group, start=1):  # noqa: B007 - the last one counts
                if len(examples) < _EXAMPLES:
                    examples.append(path)
            found.append(SkippedFiles(reason=reason, count=count, examples=tuple(examples)))
        return tuple(found)

    def _check(self) -> None:
        if self._number(index_sql.COUNT_FILES) != self._total:
            _refuse("it holds other files than the commit")
        if lacking := self._number(index_sql.COUNT_LACKING):
            _refuse(f"{lacking} files have no content")
        for rowid, text in self._db.execute(index_sql.SAMPLE_STAGED, (self._published,)):
            expression = match_sample(text)
            if expression and not self._finds(expression, rowid):
                _refuse("what was added is not found")
        # The whole check reads all of the index, a second for each hundred megabytes. Of what was
        # built each portion was looked into, and of a large one that changed a little the change.
        is_cheap = self.path.stat().st_size <= _CHEAP_TO_CHECK_BYTES
        if is_cheap or self._writer.unchecked > _MANY_DOCUMENTS:
            try:
                self._db.execute(index_sql.CHECK_WORDS)
            except sqlite3.DatabaseError as error:
                _refuse("the words fail SQLite's integrity check", error)

    def _finds(self, expression: str, rowid: int) -> bool:
        row = self._db.execute(index_sql.IS_FOUND, (expression, rowid)).fetchone()
        return row is not None

    def _number(self, statement: str, *values: int | bytes) -> int:
        number: int = self._db.execute(statement, values).fetchone()[0]
        return number

    def _until_stopped(self, things: Iterable[Any]) -> Iterator[Any]:
        for thing in things:
            if self._stop.is_set():
                raise Stopped
            yield thing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._stop.is_set():
            raise Stopped
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise
        self._db.execute("COMMIT")


def _rows(tree: Iterable[TreeEntry]) -> Iterator[tuple[str, str, bytes, int | None]]:
    for path, mode, blob, size in tree:
        yield path, mode, bytes.fromhex(blob), size


def _refuse(what: str, cause: Exception | None = None) -> NoReturn:
    message = f"the index did not pass its check: {what}"
    raise JobFailure(message, code="IDX-002") from cause
