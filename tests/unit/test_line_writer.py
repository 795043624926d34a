"""A log that nobody reads stops nobody: a thread waits for the reader, and counts what is lost."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from cidx_jobs.observe.line_writer import LineQueue, LineWriter

WAIT_SECONDS = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give both ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with suppress(OSError):
            os.close(end)


def read_until(reader: int, holds: Callable[[bytes], bool]) -> bytes:
    """Read until what came holds what it shall."""
    came = b""
    until = time.monotonic() + WAIT_SECONDS
    while not holds(came):
        assert time.monotonic() < until, came[-200:]
        came += os.read(reader, 1 << 20)
    return came


def test_lines_come_out_in_order(pipe: tuple[int, int]) -> None:
    """Those of one thread, whole, each with its end."""
    queue = LineQueue(pipe[1], lambda _: None)
    lines = [b"line %d\n" % number for number in range(1_000)]

    for line in lines:
        queue.put(line)
    came = read_until(pipe[0], lambda came: came.endswith(lines[-1]))

    assert came == b"".join(lines)
    assert queue.dropped == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_nobody_reads_holds_nobody(pipe: tuple[int, int], blocking: bool) -> None:
    """Lines beyond the bound are dropped, and their number is told once somebody reads again."""
    os.set_blocking(pipe[1], blocking)
    told: list[int] = []
    queue = LineQueue(pipe[1], told.append, max_bytes=100_000)
    line = b"x" * 999 + b"\n"
    began = time.monotonic()

    for _ in range(1_000):
        queue.put(line)
    queue.drain(0.01)
    seconds = time.monotonic() - began
    dropped = queue.dropped
    read_until(pipe[0], lambda came: len(came) == (1_000 - dropped) * 1_000)
    queue.drain(WAIT_SECONDS)
    until = time.monotonic() + WAIT_SECONDS
    while not told and time.monotonic() < until:
        time.sleep(0.001)

    assert seconds < 5
    assert 800 < dropped < 1_000
    assert told == [dropped]


def test_a_reader_that_went_away_costs_its_lines_alone(pipe: tuple[int, int]) -> None:
    """They are counted, and nothing is raised anywhere."""
    queue = LineQueue(pipe[1], lambda _: None)
    os.close(pipe[0])

    queue.put(b"gone\n")
    queue.drain(WAIT_SECONDS)

    assert queue.dropped == 1


def test_without_a_thread_to_be_had_lines_are_dropped(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line tries again."""
    queue = LineQueue(pipe[1], lambda _: None)

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        queue.put(b"lost\n")
    queue.put(b"written\n")

    assert read_until(pipe[0], lambda came: came.endswith(b"\n")) == b"written\n"
    assert queue.dropped == 1


def test_a_fork_writes_its_own_lines(pipe: tuple[int, int]) -> None:
    """It has no thread of its parent, and makes one of its own."""
    stream = os.fdopen(pipe[1], "w", closefd=False)
    writer = LineWriter(stream)
    writer.write("of the parent")
    read_until(pipe[0], lambda came: came.endswith(b"\n"))

    pid = os.fork()
    if pid == 0:
        try:
            writer.write("of the fork \udc80")
            assert writer._queue is not None
            writer._queue.drain(WAIT_SECONDS)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    came = read_until(pipe[0], lambda came: came.endswith(b"\n"))
    stream.close()
    assert came == b"of the fork \\udc80\n"
    assert writer.dropped == 0
