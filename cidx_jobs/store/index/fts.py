"""The built-in index: one SQLite FTS5 trigram database for each copy, read off the loop."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NoReturn, TypeVar
from weakref import WeakValueDictionary

import attrs
from typing_extensions import override

from cidx_jobs.interfaces.index import Indexer
from cidx_jobs.model.errors import (
    IndexDamagedError,
    InvalidParameterError,
    NotIndexedError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.model.ids import CopyId, UserId
from cidx_jobs.model.index import (
    DraftRequest,
    IndexState,
    SearchHit,
    SearchPage,
    SearchPlace,
    SearchRequest,
    SkippedFile,
)
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.store.index import inspection
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.draft import FtsDraft
from cidx_jobs.store.index.files import IndexFiles
from cidx_jobs.store.index.state import OtherFormatError, check_format, open_reader, read_meta
from cidx_jobs.store.index.text import MIN_CHARACTERS, fold, match_expression, matching_lines
from cidx_jobs.store.index.words.builders import WordThreads

T = TypeVar("T")

_READERS = 4
"""Threads that search at a time, all users together."""
_READERS_PER_USER = 2
_HELPERS = 2
"""Threads for what is asked of an index besides: no search makes that wait."""
_SEARCH_SECONDS = 5.0
_CHECK_EVERY_STEPS = 20_000
"""Steps of SQLite's virtual machine between two looks at the time that is left."""
_AFTER_EVERY_PATH = "\U0010ffff"


class FtsIndexer(Indexer):
    """Keeps the indexes of all copies below one directory (`Indexer`)."""

    def __init__(self, copies: Path, *, search_seconds: float = _SEARCH_SECONDS) -> None:
        """Keep indexes below *copies*; no search takes longer than *search_seconds*."""
        self._copies = copies
        self._search_seconds = search_seconds
        self._readers: ThreadPoolExecutor | None = None
        self._helpers: ThreadPoolExecutor | None = None
        self._word_threads = WordThreads()
        # Kept for as long as somebody searches or waits.
        self._turns: WeakValueDictionary[UserId, asyncio.Semaphore] = WeakValueDictionary()

    @override
    async def load_state(self, copy_id: CopyId) -> IndexState | None:
        files = self._files(copy_id)
        return await self.do(lambda: inspection.load_state(files))

    @override
    @contextlib.asynccontextmanager
    async def draft(self, request: DraftRequest) -> AsyncIterator[FtsDraft]:
        draft = FtsDraft(
            self._files(request.copy_id),
            self._word_threads,
            request.job_id,
            request.run,
            full=request.full,
        )
        try:
            await draft.open()
            yield draft
        finally:
            await draft.close()

    @override
    async def search(self, request: SearchRequest) -> SearchPage:
        if len(fold(request.text)) < MIN_CHARACTERS:
            raise ValidationError.at("/q", f"it must have at least {MIN_CHARACTERS} characters")
        search = _Search(
            request=request, files=self._files(request.copy_id), seconds=self._search_seconds
        )
        async with self._turn(request.user_id):
            try:
                return await self._read(search.run)
            finally:
                search.stop()

    @override
    async def list_skipped(
        self, copy_id: CopyId, *, limit: int, after: str = ""
    ) -> Sequence[SkippedFile]:
        files = self._files(copy_id)
        return await self.do(lambda: inspection.list_skipped(files, after, limit))

    @override
    async def find_fault(self, copy_id: CopyId, *, deep: bool) -> str | None:
        files = self._files(copy_id)
        return await self.do(lambda: inspection.find_fault(files, deep=deep))

    async def do(self, work: Callable[[], T]) -> T:
        """Run *work*, which blocks, in a thread that no search takes."""
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(_HELPERS, "index-state")
        return await asyncio.get_running_loop().run_in_executor(self._helpers, work)

    @override
    async def close(self) -> None:
        threads = (self._readers, self._helpers)
        self._readers = self._helpers = None
        for some in threads:
            if some is not None:
                await in_own_thread(some.shutdown)
        await in_own_thread(self._word_threads.close)

    @contextlib.asynccontextmanager
    async def _turn(self, user_id: UserId) -> AsyncIterator[None]:
        # Nobody's searches keep those of all others waiting, or pile up.
        turn = self._turns.setdefault(user_id, asyncio.Semaphore(_READERS_PER_USER))
        try:
            async with asyncio.timeout(self._search_seconds):
                await turn.acquire()
        except TimeoutError:
            message = "too many of your searches run at a time"
            raise UnavailableError(message) from None
        try:
            yield
        finally:
            turn.release()

    async def _read(self, work: Callable[[], T]) -> T:
        if self._readers is None:
            self._readers = ThreadPoolExecutor(_READERS, "index-read")
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _files(self, copy_id: CopyId) -> IndexFiles:
        return IndexFiles(self._copies / copy_id)


@attrs.define(kw_only=True)
class _Search:
    """One search, in one thread: which contents may hold the text, then where they do."""

    request: SearchRequest
    files: IndexFiles
    seconds: float
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)
    _deadline: float = attrs.field(default=0.0, init=False)

    def stop(self) -> None:
        """End the work in the thread: nobody waits for it any more."""
        self._stopped.set()

    def run(self) -> SearchPage:
        """Search the index as it is now, in one snapshot."""
        self._deadline = time.monotonic() + self.seconds
        try:
            while (path := self.files.current()) is not None:
                if self.files.is_damaged(path):
                    raise IndexDamagedError(self.request.project_id)
                try:
                    with contextlib.closing(open_reader(path)) as db:
                        return self._search(db)
                except sqlite3.Error as error:
                    self._raise_if_over()
                    # It may have been replaced between the look at the pointer and the opening.
                    if self.files.current() == path:
                        self._explain(path, error)
        except OSError as error:
            raise self._unreadable() from error
        raise NotIndexedError(self.request.project_id)

    def _explain(self, path: Path, error: sqlite3.Error) -> NoReturn:
        """Raise what it means that the index cannot be searched."""
        if isinstance(error, OtherFormatError):
            raise NotIndexedError(self.request.project_id) from error
        if not inspection.is_damage(error):
            raise self._unreadable() from error
        self.files.mark_damaged(path)
        raise IndexDamagedError(self.request.project_id) from error

    def _unreadable(self) -> UnavailableError:
        return UnavailableError(
            f"the server cannot read the index of project {self.request.project_id}: its operator "
            "should look whose files they are"
        )

    def _search(self, db: sqlite3.Connection) -> SearchPage:
        db.set_progress_handler(self._is_over, _CHECK_EVERY_STEPS)
        db.execute("BEGIN")
        check_format(db)
        commit = read_meta(db).get("commit", "")
        found = list(islice(self._find_hits(db), self.request.limit + 1))
        return SearchPage(
            commit=commit,
            hits=tuple(found[: self.request.limit]),
            is_truncated=len(found) > self.request.limit,
        )

    def _find_hits(self, db: sqlite3.Connection) -> Iterator[SearchHit]:
        expression = match_expression(self.request.text)
        if expression is None:
            return
        wanted = fold(self.request.text)
        last = self.request.after or SearchPlace("", 0)
        for name, content in self._find_files(db, expression, last.path):
            self._raise_if_over()
            row = db.execute(index_sql.READ_TEXT, (content,)).fetchone()
            if row is None or not isinstance(row[0], str):
                message = "a content is not there"
                raise sqlite3.DatabaseError(message)
            for hit in matching_lines(name, row[0], wanted):
                if name != last.path or hit.line_number > last.line_number:
                    yield hit

    def _find_files(
        self, db: sqlite3.Connection, expression: str, first_path: str
    ) -> sqlite3.Cursor:
        prefix = self.request.path_prefix.encode("utf-8", "replace").decode()
        first = max(prefix, first_path.encode("utf-8", "replace").decode())
        return db.execute(index_sql.FIND_FILES, (expression, first, prefix + _AFTER_EVERY_PATH))

    def _is_over(self) -> bool:
        return self._stopped.is_set() or time.monotonic() > self._deadline

    def _raise_if_over(self) -> None:
        if self._is_over():
            message = "the search would take too long: search for more characters or below a path"
            raise InvalidParameterError("q", message)
