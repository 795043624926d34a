"""Event loops: which one runs, and one that goes on to the end of its main task.

asyncio lets `SystemExit` and `KeyboardInterrupt` of any task through ``run_forever``, besides
setting them on the task: a library that calls `sys.exit` in a task of a handler's would end the
whole server (guarantees.md, G17).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def find_running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread now; None between two turns, or without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run_to_its_end(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """Return what *main* returns, run on *loop*; exits that others ask for go to the loop's log.

    Ctrl-C is to be taken as a signal by *main*: as a KeyboardInterrupt it would end nothing.
    """
    task = loop.create_task(main, name="main")
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            message = f"a task beside the server's own raised {type(error).__name__}"
            loop.call_exception_handler({"message": message, "exception": error})
    return task.result()
