"""Functions that jobs call in processes of their own; they must be importable there."""

import os
import sys
import threading
import time
from pathlib import Path


class PanicError(BaseException):
    """What is no `Exception`."""


class TwoError(Exception):
    """An error that can be pickled and not be made again."""

    def __init__(self, one: str, two: str) -> None:
        """Take both."""
        super().__init__(one + two)


def double(number: int) -> int:
    """Return twice the number, and say so."""
    sys.stdout.write("doubled\n")
    return 2 * number


def name_process() -> tuple[int, bool]:
    """Return the process's id, and whether it has the variables of the server."""
    return os.getpid(), "PYTEST_CURRENT_TEST" in os.environ


def panic() -> None:
    """Raise what is no `Exception`."""
    raise PanicError


def leave() -> None:
    """Ask the process to end."""
    sys.exit(7)


def raise_two() -> None:
    """Raise what cannot be read again."""
    raise TwoError("one", "two")


def raise_eof() -> None:
    """Raise what also tells of the end of a pipe."""
    message = "the function's own"
    raise EOFError(message)


def die() -> None:
    """End without a word."""
    os._exit(9)


def hang(begun: str) -> None:
    """Say that it has begun, and go on for a long time."""
    Path(begun).write_text(str(os.getpid()))
    time.sleep(60)


def leave_thread() -> int:
    """Leave a thread behind that goes on."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    return 1
