"""A function called in a process of its own: what goes in, and what comes out.

The process is a Python of its own that imports the function, as ``multiprocessing`` does it with
the method spawn: nothing is forked out of a process with threads and an event loop. Its side is
`cidx_jobs.handlers.process.worker`.
"""

import json
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import __main__

_MAIN = b"__main__"
_LENGTH = struct.Struct("!Q")
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from cidx_jobs.handlers.process.worker import answer_call; answer_call()"
)


class ProcessDiedError(Exception):
    """The other side ended before it had said everything."""


def make_command() -> list[str]:
    """Return the command that starts the child, which finds modules where this process does."""
    path = json.dumps([str(Path(place).absolute()) for place in sys.path])
    # -P: no module of the working directory may take the place of an installed one.
    return [sys.executable, "-P", "-c", _BOOT, path]


def encode_call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Return the call as the child takes it.

    Raises:
        Exception: the function or an argument cannot be pickled.
    """
    call = pickle.dumps((function, arguments))
    preparation = _find_main() if _MAIN in call else {}
    return frame(pickle.dumps(preparation)) + frame(call)


def read_answer(output: IO[bytes]) -> Any:
    """Return what the function returned, from the child's output.

    Raises:
        ProcessDiedError: the child ended before it was done.
        BaseException: what the function raised.
    """
    is_value, answer = pickle.loads(read_frame(output))  # noqa: S301 - the application's own
    if is_value:
        return answer
    raise answer


def frame(text: bytes) -> bytes:
    """Return the text with its length before it."""
    return _LENGTH.pack(len(text)) + text


def read_frame(source: IO[bytes]) -> bytes:
    """Return the next text; blocks.

    Raises:
        ProcessDiedError: the source ended before the text did.
    """
    (length,) = _LENGTH.unpack(_read_exactly(source, _LENGTH.size))
    return _read_exactly(source, length)


def _find_main() -> dict[str, Any]:
    """Return what makes the functions of the program itself known to the child."""
    name = getattr(getattr(__main__, "__spec__", None), "name", None)
    path = getattr(__main__, "__file__", None)
    if name is not None:
        return {"sys_argv": sys.argv, "init_main_from_name": name}
    if path is None:
        return {}
    return {"sys_argv": sys.argv, "init_main_from_path": str(Path(path).absolute())}


def _read_exactly(source: IO[bytes], length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = source.read(length - len(parts))
        if not part:
            raise ProcessDiedError
        parts += part
    return bytes(parts)
