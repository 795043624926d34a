"""An example of the documentation, run in a process of its own.

One that fails or hangs then leaves nothing in the tests' process: no thread, no open database.
"""

import asyncio
import inspect
import multiprocessing
import os
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.uvicorns import running_uvicorn

WAIT_SECONDS = 60.0

# Children of a process that has imported all of it already: they start in milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PRELOADED = [__name__, "cidx_jobs.system", "cidx_jobs.web.server", "cidx_jobs.client", "fastapi"]


def run_example(text: str, folder: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
    """Run the code of an example in *folder*: its ``main``, or its ``app`` from start to end.

    Raises:
        AssertionError: it failed, with its traceback, or did not end in time.
    """
    _PROCESSES.set_forkserver_preload(_PRELOADED)
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_run, args=(text, folder, sender), daemon=True)
    process.start()
    sender.close()
    try:
        fault = receiver.recv() if receiver.poll(wait_seconds) else f"not done:\n{text}"
    except EOFError:
        fault = f"it ended without a word:\n{text}"
    finally:
        # What is left of it, threads that still run, say, is not waited for.
        process.kill()
        process.join()
    assert not fault, fault


def _run(text: str, folder: Path, sender: "Connection[str, Any]") -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        names: dict[str, Any] = {"__name__": "example"}
        exec(compile(text, "example", "exec"), names)  # noqa: S102 - our own documentation
        if inspect.iscoroutinefunction(main := names.get("main")):
            asyncio.run(main())
        if app := names.get("app"):
            asyncio.run(_start_and_stop(app))
    except BaseException:  # noqa: BLE001 - told, whatever it is
        sender.send(traceback.format_exc())
    else:
        sender.send("")


async def _start_and_stop(app: Any) -> None:
    if isinstance(app, web.Application):
        runner = web.AppRunner(app)
        try:
            await runner.setup()
        finally:
            await runner.cleanup()
    else:
        async with running_uvicorn(app):
            pass
