"""``serve``: the standalone server."""

from pathlib import Path
from typing import Any

import click

from cidx_jobs.cli.option_types import CONFIG, DATA_DIR, AnyPath, examples
from cidx_jobs.cli.target import Target, local_command
from cidx_jobs.model.setting_words import AUTH_MODES, LOG_FORMATS, LOG_LEVELS
from cidx_jobs.runtime.first_process import serve_as_child_of_init


@click.command(
    epilog=examples(
        "cidx-jobs serve",
        "cidx-jobs serve --config jobs.toml",
        "cidx-jobs serve --port 0 --auth tokens",
    )
)
@CONFIG
@DATA_DIR
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; 0 takes a free one.")
@click.option("--unix-socket", type=AnyPath(), help="A socket file in place of a port.")
@click.option("--auth", type=click.Choice(AUTH_MODES), help="Who may come in.")
@click.option("--handlers", metavar="MODULE:NAME", help="More job types.")
@click.option(
    "--log-format", type=click.Choice(LOG_FORMATS), help="How lines are written to stderr."
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    help="The lowest level that is logged.",
)
@local_command
def serve(target: Target, *, config: Path | None, log_format: str | None, **flags: Any) -> int:
    """Run the server until SIGTERM or Ctrl-C.

    Every setting can come from --config or from a variable CIDX_JOBS_NAME; flags win over
    variables, variables over the file. --json is the same as --log-format json.
    """
    serve_as_child_of_init()
    from cidx_jobs.cli.actions.serve import CLOSING_SECONDS, serve_until_stopped
    from cidx_jobs.runtime.last_exit import end_despite_threads

    wanted_format = log_format or ("json" if target.as_json else None)
    code = serve_until_stopped(config, log_format=wanted_format, **flags)
    end_despite_threads(CLOSING_SECONDS)
    return code


COMMANDS = (serve,)
