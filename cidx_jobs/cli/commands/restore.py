"""``restore``: a backup becomes the database of a data directory."""

from pathlib import Path

import click

from cidx_jobs.cli.option_types import AnyPath
from cidx_jobs.cli.target import Target, local_command


@click.command()
@click.argument("file", type=AnyPath())
@click.option(
    "--data-dir", metavar="D", type=AnyPath(), required=True, help="The directory to restore into."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Put it in the place of the database of a stopped server, which is kept beside it.",
)
@local_command
def restore(target: Target, *, file: Path, data_dir: Path, replace: bool) -> int:
    """Put a backup in place as the database of a directory.

    FILE becomes the database of an empty directory or, with --replace, of a stopped server.

    It is read as a whole first, and refused when it is cut or damaged. The restored directory
    is another database: a server that starts there leaves the original's jobs alone, and goes on
    with the unfinished jobs that it finds.
    """
    from cidx_jobs.cli.actions.restore import restore_backup

    return restore_backup(target, file, data_dir, replace=replace)


COMMANDS = (restore,)
