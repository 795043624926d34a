"""Guards and mends that hold for every test."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
import aioresponses.core
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

# Where code of ours may block a running loop, each with its reason: (end of the path, functions).
MAY_BLOCK: list[tuple[str, set[str]]] = [
    # A module that is imported for the first time is read from disk, once in a process.
    ("<frozen importlib._bootstrap>", {"_find_and_load"}),
    # The working directory is known to the kernel without a look at the disk.
    ("pathlib.py", {"absolute", "cwd"}),
    # A time zone is a file of a few KB, read once in a process.
    ("cidx_jobs/model/schedules/schedule.py", {"find_zone"}),
    # A traceback that is logged shows source lines, read from disk once.
    ("linecache.py", {"checkcache", "updatecache"}),
    # Coverage keeps a lock of its own for a moment; with several threads somebody waits for it.
    ("coverage/collector.py", {"lock_data"}),
]


# What `setup_logging` sets: the level, the handlers, whether the root hears of it.
LOGGERS = ("cidx_jobs", "aiohttp", "aiosqlite", "asyncio")


class _ResponseWithoutWriter(aiohttp.ClientResponse):
    """A client's response that brings the stream writer which aioresponses leaves out."""

    def __init__(self, *arguments: object, **options: object) -> None:
        # aiohttp 3.14 asks for `stream_writer`, and reads from it only how much was sent.
        options.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # passed through untouched


@pytest.fixture(scope="session", autouse=True)
def _canned_answers_of_current_aiohttp() -> Iterator[None]:
    """Let aioresponses make its answers with aiohttp 3.14 and newer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aioresponses.core, "ClientResponse", _ResponseWithoutWriter)
        yield


class _LostFailures(logging.Handler):
    """Keeps what asyncio says of exceptions that nobody ever looked at."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "never retrieved" in record.getMessage():
            self.lines.append(self.format(record))


@pytest.fixture(scope="session")
def _lost_failures() -> Iterator[_LostFailures]:
    handler = _LostFailures()
    logging.getLogger("asyncio").addHandler(handler)
    yield handler
    logging.getLogger("asyncio").removeHandler(handler)


@pytest.fixture(autouse=True)
def _no_failure_is_lost(_lost_failures: _LostFailures) -> Iterator[None]:
    """Fail where a task's exception was never looked at: in this test, or in one before it."""
    yield
    lines, _lost_failures.lines = _lost_failures.lines, []
    assert not lines, "\n".join(lines)


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """Undo what a test, or the command that it runs in process, has set up in `logging`."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    kept = [(one.handlers[:], one.propagate, one.level) for one in loggers]
    yield
    for one, (handlers, propagate, level) in zip(loggers, kept, strict=True):
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    """Raise BlockingError where code of cidx_jobs blocks a running loop.

    Only calls with cidx_jobs on the stack count: a test may prepare its files as it likes.
    What may block is listed in MAY_BLOCK. A test that has to block asks for `may_block`.
    """
    with blockbuster_ctx("cidx_jobs") as guard:
        for call in guard.functions.values():
            for file, functions in MAY_BLOCK:
                call.can_block_in(file, functions)
        yield guard


@pytest.fixture
def may_block(_nothing_blocks_the_loop: BlockBuster) -> Iterator[None]:
    """Switch the guard against blocking calls off for one test, which says why it needs that."""
    _nothing_blocks_the_loop.deactivate()
    yield
    _nothing_blocks_the_loop.activate()
