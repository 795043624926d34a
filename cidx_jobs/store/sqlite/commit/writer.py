"""The one writer: a task that drains its queue into one transaction after the other.

Callers hand in operations and get their values after the commit. A hundred callers share one
fsync; one caller waits for nobody. What a caller does meanwhile (it may be cancelled) has no
effect on the transaction. After an error of the disk the writer goes on trying, by itself, until
it can write again.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import attrs
import msgspec

from cidx_jobs.model.errors import OtherLoopError, StorageUnavailableError, StoreError
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.store.sqlite.commit.committer import Committer
from cidx_jobs.store.sqlite.commit.transaction import Failure, Operation

MAX_BATCH = 500
"""The most operations of one transaction: it bounds what a submit waits for."""
MAX_WAITING = 10_000
"""The most operations in the queue; further callers wait for room."""
PROBE_SECONDS = 0.5
"""How often a writer that failed tries again by itself."""


class _Request(msgspec.Struct, frozen=True):
    operation: Operation
    future: asyncio.Future[Any]
    on_commit: Callable[[Any], object] | None
    on_refuse: Callable[[], object] | None


@attrs.define
class Writer:
    """Takes operations from many callers; made inside a running loop, ended by `close`."""

    _committer: Committer
    _has_long_log: bool = False
    """A server that was killed has left much in the log: it is put away before the first batch,
    beside what else a start does."""
    _queue: deque[_Request] = attrs.field(factory=deque, init=False)
    _for_room: deque[asyncio.Future[None]] = attrs.field(factory=deque, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    async def start(self) -> None:
        """Connect, and begin to take operations."""
        await self._committer.open()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="store-writer")

    def write(
        self,
        operation: Operation,
        on_commit: Callable[[Any], object] | None = None,
        on_refuse: Callable[[], object] | None = None,
    ) -> Awaitable[Any]:
        """Return the operation's value once the transaction that holds it is committed.

        What is awaited is a bare future, which costs the callers no frames: the operation is in
        the queue when this returns, unless there is no room in it.
        *on_commit* is called with the value, in the order of the commits and before any caller
        of the batch goes on; also when this caller was cancelled meanwhile. Where nothing was
        stored *on_refuse* is called in its place.

        Raises:
            StorageFullError: the disk is full; nothing was stored.
            StorageUnavailableError: the disk gave an error, or the store is closed; nothing was
                stored.
            OwnerLostError: another server owns the database now.
            OtherLoopError: it was started on another loop; nothing was stored.
        """
        loop = asyncio.get_running_loop()
        is_ours = self._loop is None or self._loop is loop
        if not is_ours or self._is_closed or len(self._queue) >= MAX_WAITING:
            return self._write_later(loop, operation, on_commit, on_refuse)
        return self._enter(loop, operation, on_commit, on_refuse)

    async def _write_later(
        self,
        loop: asyncio.AbstractEventLoop,
        operation: Operation,
        on_commit: Callable[[Any], object] | None,
        on_refuse: Callable[[], object] | None,
    ) -> Any:
        try:
            self._check_loop(loop)
            await self._until_room()
        except (OtherLoopError, StorageUnavailableError, asyncio.CancelledError):
            # Of what never comes into the queue nobody else tells.
            if on_refuse is not None:
                _tell(on_refuse)
            raise
        return await self._enter(loop, operation, on_commit, on_refuse)

    def _enter(
        self,
        loop: asyncio.AbstractEventLoop,
        operation: Operation,
        on_commit: Callable[[Any], object] | None,
        on_refuse: Callable[[], object] | None,
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append(_Request(operation, future, on_commit, on_refuse))
        self._wake.set()
        return future

    async def close(self) -> None:
        """Commit what is in the queue and let go of the connection; closing twice is fine."""
        self._stop_taking()
        if self._task is not None:
            await asyncio.wait({self._task})

    def _stop_taking(self) -> None:
        self._is_closed = True
        self._committer.is_giving_up = True
        self._wake.set()
        self._make_room()

    def _check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and self._loop is not loop:
            # The writer would not be woken, and its answer not be heard.
            raise OtherLoopError

    async def _until_room(self) -> None:
        while len(self._queue) >= MAX_WAITING and not self._is_closed:
            await self._room()
        if self._is_closed:
            raise StorageUnavailableError

    async def _room(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._for_room.append(future)
        await future

    def _make_room(self) -> None:
        while self._for_room and (len(self._queue) < MAX_WAITING or self._is_closed):
            future = self._for_room.popleft()
            if not future.done():
                future.set_result(None)
                break

    async def _run(self) -> None:
        try:
            if self._has_long_log:
                await self._committer.put_log_away()
            while await self._has_work():
                await self._write_batch()
        finally:
            # Also when the whole loop is on its way down: whoever waits is answered, and nothing
            # is left open.
            self._stop_taking()
            _refuse(self._queue, StorageUnavailableError())
            self._queue.clear()
            await self._committer.close()

    async def _has_work(self) -> bool:
        """Wait for something to write; False once there is nothing and never will be."""
        while not self._queue and not self._is_closed:
            self._wake.clear()
            if not self._committer.is_alarmed:
                await self._wake.wait()
                continue
            # Nobody asks a server that is not ready, so a writer that failed asks itself.
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                return True
        return bool(self._queue)

    async def _write_batch(self) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(len(queue), MAX_BATCH))]
        self._make_room()
        # A task of its own: this one may be cancelled, and then the callers must still learn what
        # became of their transaction. It answers, too, so that they go on before this task has
        # been told.
        await finish(asyncio.create_task(self._commit(batch), name="store-commit"))

    async def _commit(self, batch: Sequence[_Request]) -> None:
        try:
            values = await self._committer.commit([request.operation for request in batch])
        except asyncio.CancelledError:
            # The loop is being torn down, and every task with it: nobody will learn the outcome.
            # The transaction goes on to its end, and the connection is closed after it.
            _refuse(batch, StorageUnavailableError())
            raise
        except Exception as error:  # noqa: BLE001 - the callers of the batch get it
            _refuse(batch, error)
            return
        _answer(batch, values)


def _answer(batch: Sequence[_Request], values: Sequence[Any]) -> None:
    for request, value in zip(batch, values, strict=True):
        if isinstance(value, Failure):
            _refuse([request], _as_ours(value.error))
            continue
        if request.on_commit is not None:
            _tell(request.on_commit, value)
        if not request.future.done():
            request.future.set_result(value)


def _tell(listener: Callable[..., object], *value: object) -> None:
    # What is decided is decided: a fault of the one who is told reaches no other caller.
    outcome = call_foreign(listener, *value)
    if isinstance(outcome, Raised):
        context = {"message": "who was told of a commit raised", "exception": outcome.taken()}
        asyncio.get_running_loop().call_exception_handler(context)


def _refuse(batch: Iterable[_Request], error: BaseException) -> None:
    for request in batch:
        if request.on_refuse is not None:
            _tell(request.on_refuse)
        if not request.future.done():
            request.future.set_exception(error)


def _as_ours(error: Exception) -> Exception:
    if not isinstance(error, sqlite3.Error):
        return error
    ours = StoreError(f"the database refuses the row: {error}")
    ours.__cause__ = error
    return ours
