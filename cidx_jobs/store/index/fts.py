"""The built-in index: one SQLite FTS5 trigram database for each project, read off the loop."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import attrs
from typing_extensions import override

from cidx_jobs.interfaces.index import Indexer
from cidx_jobs.model.errors import (
    InvalidParameterError,
    NotIndexedError,
    UnavailableError,
    ValidationError,
)
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.index import IndexState, SearchHit
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import project_directory
from cidx_jobs.store.index import sql as index_sql
from cidx_jobs.store.index.draft import FtsDraft
from cidx_jobs.store.index.files import IndexFiles
from cidx_jobs.store.index.state import check_format, make_state, open_reader
from cidx_jobs.store.index.text import MIN_CHARACTERS, fold, match_expression, matching_lines

T = TypeVar("T")

_READERS = 4
_READERS_PER_USER = 2
_HELPERS = 2
_SEARCH_SECONDS = 5.0
_CHECK_EVERY_STEPS = 20_000
_AFTER_EVERY_PATH = "\U0010ffff"


class FtsIndexer(Indexer):
    """Keeps the indexes of all projects below one directory (`Indexer`)."""

    def __init__(self, projects: Path, *, search_seconds: float = _SEARCH_SECONDS) -> None:
        """Keep indexes below *projects*; no search takes longer than *search_seconds*."""
        self._projects = projects
        self._search_seconds = search_seconds
        self._readers: ThreadPoolExecutor | None = None
        self._helpers: ThreadPoolExecutor | None = None
        # Kept for as long as somebody searches or waits.
        self._turns: WeakValueDictionary[UserId, asyncio.Semaphore] = WeakValueDictionary()

    @override
    async def load_state(self, user_id: UserId, project_id: ProjectId) -> IndexState | None:
        files = self._files(user_id, project_id)
        return await self.do(lambda: _load_state(files))

    @override
    @contextlib.asynccontextmanager
    async def draft(
        self, user_id: UserId, project_id: ProjectId, *, job_id: JobId, run: int, full: bool
    ) -> AsyncIterator[FtsDraft]:
        draft = FtsDraft(self._files(user_id, project_id), job_id, run, full=full)
        try:
            await draft.open()
            yield draft
        finally:
            await draft.close()

    @override
    async def search(
        self,
        user_id: UserId,
        project_id: ProjectId,
        text: str,
        *,
        limit: int,
        path_prefix: str = "",
    ) -> Sequence[SearchHit]:
        if len(fold(text)) < MIN_CHARACTERS:
            raise ValidationError.at("/q", f"it must have at least {MIN_CHARACTERS} characters")
        search = _Search(
            files=self._files(user_id, project_id),
            project_id=project_id,
            text=text,
            path_prefix=path_prefix,
            limit=limit,
            seconds=self._search_seconds,
        )
        async with self._turn(user_id):
            try:
                return await self._read(search.run)
            finally:
                search.stop()

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

    def _files(self, user_id: UserId, project_id: ProjectId) -> IndexFiles:
        return IndexFiles(project_directory(self._projects, user_id, project_id))


@attrs.define(kw_only=True)
class _Search:
    """One search, in one thread: which contents may hold the text, then where they do."""

    files: IndexFiles
    project_id: ProjectId
    text: str
    path_prefix: str
    limit: int
    seconds: float
    _stopped: threading.Event = attrs.field(factory=threading.Event, init=False)
    _deadline: float = attrs.field(default=0.0, init=False)

    def stop(self) -> None:
        """End the work in the thread: nobody waits for it any more."""
        self._stopped.set()

    def run(self) -> Sequence[SearchHit]:
        """Search the index as it is now, in one snapshot."""
        self._deadline = time.monotonic() + self.seconds
        while (path := self.files.current()) is not None:
            try:
                with contextlib.closing(open_reader(path)) as db:
                    return self._search(db)
            except sqlite3.DatabaseError:
                self._raise_if_over()
                # Damaged; or replaced between the look at the pointer and the opening.
                if self.files.current() == path:
                    break
        raise NotIndexedError(self.project_id)

    def _search(self, db: sqlite3.Connection) -> Sequence[SearchHit]:
        db.set_progress_handler(self._is_over, _CHECK_EVERY_STEPS)
        db.execute("BEGIN")
        check_format(db)
        expression = match_expression(self.text)
        if expression is None:
            return []
        wanted = fold(self.text)
        hits: list[SearchHit] = []
        for name, content in self._find_files(db, expression):
            self._raise_if_over()
            (text,) = db.execute(index_sql.READ_TEXT, (content,)).fetchone()
            hits += islice(matching_lines(name, text, wanted), self.limit - len(hits))
            if len(hits) >= self.limit:
                break
        return hits

    def _find_files(self, db: sqlite3.Connection, expression: str) -> sqlite3.Cursor:
        prefix = self.path_prefix.encode("utf-8", "replace").decode()
        if not prefix:
            return db.execute(index_sql.FIND_FILES, (expression,))
        bounds = (prefix, prefix + _AFTER_EVERY_PATH)
        return db.execute(index_sql.FIND_FILES_BELOW, (expression, *bounds))

    def _is_over(self) -> bool:
        return self._stopped.is_set() or time.monotonic() > self._deadline

    def _raise_if_over(self) -> None:
        if self._is_over():
            message = "the search would take too long: search for more characters or below a path"
            raise InvalidParameterError("q", message)


def _load_state(files: IndexFiles) -> IndexState | None:
    path = files.current()
    if path is None:
        return None
    try:
        with contextlib.closing(open_reader(path)) as db:
            return make_state(db, path)
    except (sqlite3.Error, OSError, ValueError, KeyError):
        return None
