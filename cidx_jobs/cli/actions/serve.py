"""What ``serve`` does: read the settings, set up the log, run the server until a signal."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cidx_jobs.cli.actions.settings import check_extras
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.model.errors import CidxJobsError
from cidx_jobs.observe.logs import reopen_log_files, setup_logging
from cidx_jobs.runtime.last_exit import ending_at_last
from cidx_jobs.runtime.loops import run_to_its_end
from cidx_jobs.settings import Settings
from cidx_jobs.web.addresses import refuse_address
from cidx_jobs.web.server import check_file_limit, run_server

CLOSING_SECONDS = 1.0
"""How long what handlers left behind may take to end, once the server has stopped."""


def serve_until_stopped(config: Path | None, **flags: Any) -> Exit:
    """Run the server until SIGTERM or Ctrl-C.

    Raises:
        SettingsError: a setting is unknown or wrong; the text names it.
        StartRefusedError: the data directory cannot be served, or the address not be taken.
    """
    settings = Settings.load(config, overrides=flags)
    check_extras(settings)
    check_file_limit()
    setup_logging(settings)
    # Whatever rotates logs sends it; where there is no file, it must not end the server.
    signal.signal(signal.SIGUSR1, lambda *_: reopen_log_files())
    try:
        runner = asyncio.Runner(loop_factory=choose_loop())
        with contextlib.ExitStack() as closing, runner:
            run_to_its_end(runner.get_loop(), run_server(settings))
            # All is stored and closed. A handler that ignores its cancellation, in a task or in
            # a thread, would hold the loop's end for as long as it likes (guarantees.md, G7).
            closing.enter_context(ending_at_last(CLOSING_SECONDS, os._exit))
    except CidxJobsError:
        raise
    except OSError as error:
        raise refuse_address(settings, error) from error
    return Exit.DONE


def choose_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of the server's loop: uvloop where the extra ``speed`` is installed."""
    try:
        # Inside the function: the extra may be missing.
        import uvloop
    except ImportError:
        return None
    make_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make_loop
