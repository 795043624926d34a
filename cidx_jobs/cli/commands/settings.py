"""``check``: the settings of a server."""

from pathlib import Path

import click

from cidx_jobs.cli.option_types import CONFIG, DATA_DIR, examples
from cidx_jobs.cli.target import Target, local_command


@click.command(epilog=examples("cidx-jobs check --config jobs.toml"))
@DATA_DIR
@CONFIG
@local_command
def check(target: Target, data_dir: Path | None, config: Path | None) -> int:
    """Check the settings of a server, and show them."""
    from cidx_jobs.cli.actions.settings import show_settings

    return show_settings(target, data_dir, config)


COMMANDS = (check,)
