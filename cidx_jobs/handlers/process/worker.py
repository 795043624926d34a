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
from multiprocessing.spawn import prepare
from typing import IO

from cidx_jobs.handlers.process.calls import frame, read_frame


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
    try:
        preparation = pickle.loads(read_frame(call))  # noqa: S301 - the parent's
        if preparation:
            prepare(preparation)
        function, arguments = pickle.loads(read_frame(call))  # noqa: S301 - the same
        threading.Thread(target=_die_with_the_caller, args=(call,), daemon=True).start()
        return pickle.dumps((True, function(*arguments)))
    except BaseException as error:  # noqa: BLE001 - it is raised where the call was made
        return _encode_error(error)


def _encode_error(error: BaseException) -> bytes:
    told = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"in its process:\n{told}")
        error.__traceback__ = None
        text = pickle.dumps((False, error))
        # Some can be written and not be read again, for want of an argument.
        pickle.loads(text)  # noqa: S301 - it was made in the line above
    except BaseException:  # noqa: BLE001 - foreign errors may do anything when they are pickled
        return pickle.dumps((False, RuntimeError(told)))
    return text


def _die_with_the_caller(call: IO[bytes]) -> None:
    call.read(1)
    # The group: what the function has started itself ends with it.
    os.killpg(os.getpgrp(), signal.SIGKILL)
