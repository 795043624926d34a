"""The process that calls one function for a job, and dies with whoever asked for it.

It has a pipe on which the call came; once that is closed, by whatever end of the other side, the
process kills itself with all that the function has started.
"""

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.spawn import prepare
from typing import IO, ParamSpec

from cidx_jobs.handlers.process.calls import frame, read_frame

P = ParamSpec("P")


def answer_call() -> None:
    """Be the child: read one call, make it, answer, and end."""
    call = os.fdopen(os.dup(0), "rb", buffering=0)
    answer = os.fdopen(os.dup(1), "wb")
    # What the function prints is no answer, and what it reads is no call.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    outcome = _make_call(call)
    answer.write(frame(outcome))
    answer.flush()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads that the function has left behind hold up nothing.
    os._exit(0)


def _make_call(call: IO[bytes]) -> bytes:
    answer = _try(_call, call)
    if isinstance(answer, bytes):
        return answer
    # It is raised where the call was made.
    told = "".join(traceback.format_exception(answer))
    text = _try(_encode_error, answer, told)
    # Foreign errors may do anything when they are pickled.
    return text if isinstance(text, bytes) else pickle.dumps((False, RuntimeError(told)))


def _try(step: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes | BaseException:
    # `call_foreign` would load half of the package into a process that has one thing to do.
    try:
        return step(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - foreign code, which raises anything
        return error


def _call(call: IO[bytes]) -> bytes:
    preparation = pickle.loads(read_frame(call))  # noqa: S301 - the parent's
    if preparation:
        prepare(preparation)
    function, arguments = pickle.loads(read_frame(call))  # noqa: S301 - the same
    threading.Thread(target=_die_with_the_caller, args=(call,), daemon=True).start()
    return pickle.dumps((True, function(*arguments)))


def _encode_error(error: BaseException, told: str) -> bytes:
    error.add_note(f"in its process:\n{told}")
    error.__traceback__ = None
    text = pickle.dumps((False, error))
    # Some can be written and not be read again, for want of an argument.
    pickle.loads(text)  # noqa: S301 - it was made in the line above
    return text


def _die_with_the_caller(call: IO[bytes]) -> None:
    call.read(1)
    # The group: what the function has started itself ends with it.
    os.killpg(os.getpgrp(), signal.SIGKILL)
