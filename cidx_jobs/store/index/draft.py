"""Draft of an index, for the event loop: each step runs in the draft's own thread."""

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from typing_extensions import override

from cidx_jobs.interfaces.index import IndexDraft
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.ids import JobId
from cidx_jobs.model.index import Document, Publication, TreeChanges, TreeEntry, WantedFile
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.store.index.draft_database import DraftDatabase
from cidx_jobs.store.index.files import IndexFiles, remove
from cidx_jobs.store.index.state import complete, make_state, open_reader
from cidx_jobs.store.index.words.builders import WordThreads

P = ParamSpec("P")
T = TypeVar("T")

_CODE_MASK = 0xFF
"""The lower eight bits of SQLite's codes are the kind; the rest is detail."""


class FtsDraft(IndexDraft):
    """The next state of one project's FTS5 index (`IndexDraft`)."""

    def __init__(
        self, files: IndexFiles, threads: WordThreads, job_id: JobId, run: int, *, full: bool
    ) -> None:
        """Take where the index lies, who builds its words, and whose draft this is.

        `open` does the rest.
        """
        self._files = files
        self._word_threads = threads
        self._job_id = job_id
        self._run = run
        self._wants_full = full
        self._thread = ThreadPoolExecutor(1, f"index-{job_id}")
        self._database: DraftDatabase | None = None
        self._is_new = False
        self._taken = 0

    @property
    @override
    def is_full(self) -> bool:
        return self._is_new

    async def open(self) -> None:
        """Open the draft's database, the one an earlier run of the job left if there is one."""
        await self.do(self._open)

    async def close(self) -> None:
        """Undo what is not stored, and end the thread."""
        try:
            await self.do(self._close)
        finally:
            self._thread.shutdown(wait=False)

    @override
    async def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        return await self.do(self.database.compare, tree, max_file_bytes)

    @override
    async def take_wanted(self, max_files: int, max_bytes: int) -> Sequence[WantedFile]:
        listed = await self.do(self.database.list_wanted, self._taken, max_files)
        taken: list[WantedFile] = []
        total = 0
        for number, wanted in listed:
            total += wanted.size
            if taken and total > max_bytes:
                break
            taken.append(wanted)
            self._taken = number
        return taken

    @override
    async def add(self, documents: Iterable[Document]) -> None:
        await self.do(self.database.add, documents)

    @property
    @override
    def added(self) -> int:
        return 0 if self._database is None else self._database.written

    @property
    @override
    def adding_share(self) -> float:
        """All of it."""
        return 1.0

    @override
    async def work(self, commit: str) -> Sequence[str]:
        """Do nothing: contents are in the index when they were added."""
        return ()

    @override
    async def publish(self, commit: str, note: JsonObject) -> Publication:
        return await self.do(self._publish, commit, note)

    @override
    def activity(self) -> JsonObject:
        """Return nothing: the check of an index has no parts to count."""
        return {"message": "checking the index"}

    @override
    async def discard(self) -> None:
        await self.do(self._discard)

    def _open(self) -> None:
        self._files.sweep(self._job_id)
        current = self._files.current()
        is_sound = current and not self._files.is_damaged(current) and _is_readable(current)
        base = current if is_sound else None
        if base and not self._wants_full:
            try:
                self._database = self._connect(base, is_new=False, base=None)
            except sqlite3.DatabaseError:
                base = None
            else:
                return
        self._is_new = True
        path = self._files.take_draft(self._job_id, self._run)
        try:
            self._database = self._connect(path, is_new=True, base=base)
        except sqlite3.DatabaseError:
            remove(path)
            self._database = self._connect(path, is_new=True, base=base)

    def _connect(self, path: Path, *, is_new: bool, base: Path | None) -> DraftDatabase:
        return DraftDatabase(path, is_new=is_new, base=base, threads=self._word_threads)

    def _publish(self, commit: str, note: JsonObject) -> Publication:
        database = self.database
        publication = database.publish(commit, self._job_id, note)
        if self._is_new:
            self._close()
            if before := self._files.current():
                complete(before)
            self._files.make_current(database.path)
        return publication

    def _discard(self) -> None:
        database = self._database
        self._close()
        if self._is_new and database and database.path != self._files.current():
            remove(database.path)

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    @property
    def database(self) -> DraftDatabase:
        """What the draft's thread works on; only for `do`."""
        if self._database is None:
            message = "the draft is closed"
            raise RuntimeError(message)
        return self._database

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *work* in the draft's thread; when this returns it has ended, also by a cancel."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, _translated, lambda: work(*args, **kwargs))
        # The thread uses what the caller will close: the caller goes on when it has ended.
        return await finish(running, on_cancel=self._interrupt)

    def _interrupt(self) -> None:
        if self._database is not None:
            self._database.stop()


def _translated(work: Callable[[], T]) -> T:
    with translated_errors():
        return work()


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the errors of a disk and of SQLite into failures of the job.

    Raises:
        JobFailure: the disk is full (RES-001), the index damaged (IDX-002), or it cannot be
            written (IDX-001).
    """
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _CODE_MASK
        if kind == sqlite3.SQLITE_FULL:
            raise _disk_full() from error
        if kind in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            message = "the index is damaged"
            raise JobFailure(message, code="IDX-002") from error
        message = "the index could not be written"
        raise JobFailure(message, code="IDX-001") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full() from error
        message = "the files of the index could not be written"
        raise JobFailure(message, code="IDX-001") from error


def _disk_full() -> JobFailure:
    return JobFailure("the server's disk is full", code="RES-001")


def _is_readable(path: Path) -> bool:
    try:
        with contextlib.closing(open_reader(path)) as db:
            return make_state(db, path) is not None
    except (sqlite3.Error, ValueError, KeyError):
        return False
