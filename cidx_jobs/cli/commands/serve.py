"""``serve``: the standalone server."""

from pathlib import Path
from typing import Any

import click

from cidx_jobs.cli.commands.tokens_and_settings import CONFIG, DATA_DIR
from cidx_jobs.cli.light_imports import load_lightly
from cidx_jobs.cli.option_types import Place
from cidx_jobs.cli.target import Target, speaks_json


@click.command()
@CONFIG
@DATA_DIR
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; 0 takes a free one.")
@click.option("--unix-socket", type=Place(), help="A socket file in place of a port.")
@click.option(
    "--auth", type=click.Choice(["none", "tokens", "jwt", "proxy"]), help="Who may come in."
)
@click.option("--handlers", metavar="MODULE:NAME", help="More job types.")
@click.option(
    "--log-format", type=click.Choice(["json", "console"]), help="How lines are written to stderr."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The lowest level that is logged.",
)
@speaks_json
def serve(target: Target, *, config: Path | None, log_format: str | None, **flags: Any) -> int:
    """Run the server until SIGTERM or Ctrl-C.

    Every setting can come from --config or from a variable CIDX_JOBS_NAME; flags win over
    variables, variables over the file. --json is the same as --log-format json.
    """
    load_lightly()
    from cidx_jobs.cli.actions.serve import serve_until_stopped

    wanted_format = log_format or ("json" if target.as_json else None)
    return serve_until_stopped(config, log_format=wanted_format, **flags)


COMMANDS = (serve,)
