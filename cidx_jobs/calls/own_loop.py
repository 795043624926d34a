"""An event loop in a thread of its own, for a job system in a program that runs none."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import attrs

from cidx_jobs.calls.from_thread import FromThread
from cidx_jobs.model.foreign import Raised, call_foreign
from cidx_jobs.runtime.blocking import THREAD_PREFIX


@attrs.define(eq=False)
class OwnLoop(AbstractContextManager[FromThread]):
    """A system that is open on a loop of its own for as long as the block lasts.

    The thread is a daemon: a block that is never left does not keep the interpreter alive. That
    is also why it is a class and no generator, which Python would try to end at its exit.
    """

    _system: AbstractAsyncContextManager[object]
    _calls: FromThread
    _life: "_Life | None" = None

    def __enter__(self) -> FromThread:
        """Open the system; return the calls of other threads.

        Raises: what the opening raises, and

            RuntimeError: it is open already.
        """
        if self._life is not None:
            message = "the job system is open already"
            raise RuntimeError(message)
        life = _Life(self._system)
        life.begin()
        self._life = life
        return self._calls

    def __exit__(self, *error: object) -> None:
        """Close the system; who is interrupted (Ctrl-C) meanwhile has the grace time cut short.

        Raises: what the closing raises.
        """
        life, self._life = self._life, None
        if life is not None:
            life.end()


class _Life:
    """The thread with its loop, from the opening of the system to its end."""

    def __init__(self, system: AbstractAsyncContextManager[object]) -> None:
        self._system = system
        self._opened: Future[_Handle] = Future()
        self._closed: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._live, name=f"{THREAD_PREFIX}own-loop", daemon=True
        )

    def begin(self) -> None:
        self._thread.start()
        self._opened.result()

    def end(self) -> None:
        handle = self._opened.result()
        handle.end()
        try:
            self._closed.result()
        except KeyboardInterrupt:
            handle.hurry()
            with contextlib.suppress(asyncio.CancelledError):
                self._closed.result()
            raise
        finally:
            self._thread.join()

    def _live(self) -> None:
        outcome = call_foreign(asyncio.run, self._keep_open())
        if not isinstance(outcome, Raised):
            self._closed.set_result(None)
        elif self._opened.done():
            self._closed.set_exception(outcome.error)
        else:
            self._opened.set_exception(outcome.error)

    async def _keep_open(self) -> None:
        is_over = asyncio.Event()
        async with self._system:
            self._opened.set_result(_Handle(asyncio.current_task(), is_over))
            await is_over.wait()


class _Handle:
    """How the loop is told something from outside; once it is closed there is nobody to tell."""

    def __init__(self, task: "asyncio.Task[None] | None", is_over: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = task
        self._is_over = is_over

    def end(self) -> None:
        self._tell(self._is_over.set)

    def hurry(self) -> None:
        if self._task is not None:
            self._tell(self._task.cancel)

    def _tell(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)
