"""``restore`` and ``import-cidx``: what was elsewhere comes into a data directory."""

from pathlib import Path

import click

from cidx_jobs.cli.option_types import AnyPath, examples
from cidx_jobs.cli.target import Target, admin_command, local_command


@click.command(
    epilog=examples(
        "cidx-jobs restore jobs-data/backups/FILE --data-dir new-data",
        "cidx-jobs restore FILE --data-dir jobs-data --replace",
        "cidx-jobs restore FILE --data-dir new-data --hold",
    )
)
@click.argument("file", type=AnyPath())
@click.option(
    "--data-dir", metavar="D", type=AnyPath(), required=True, help="The directory to restore into."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Put it in the place of the database of a stopped server, which is kept beside it.",
)
@click.option(
    "--hold", is_flag=True, help="Its unfinished jobs wait as held until somebody starts them."
)
@local_command
def restore(target: Target, *, file: Path, data_dir: Path, replace: bool, hold: bool) -> int:
    """Put a backup in place as the database of a directory.

    FILE becomes the database of an empty directory or, with --replace, of a stopped server.

    It is read as a whole first, and refused when it is cut or damaged. The restored directory
    is another database: a server that starts there leaves the original's jobs alone, and goes on
    with the unfinished jobs that it finds, unless --hold has them wait for cidx-jobs start.
    """
    from cidx_jobs.cli.actions.restore import restore_backup

    return restore_backup(target, file, data_dir, replace=replace, hold=hold)


@click.command(
    "import-cidx",
    epilog=examples(
        "cidx-jobs import-cidx ~/.cidx-server/data/cidx_server.db --dry-run",
        "cidx-jobs import-cidx ~/.cidx-server/data/cidx_server.db --config jobs.toml",
    ),
)
@click.argument("database", metavar="DB", type=AnyPath())
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@admin_command
def import_cidx(target: Target, *, database: Path, dry_run: bool) -> int:
    """Bring in what a CIDX server has.

    DB is its SQLite database, which is only read. Its users become accounts with their passwords,
    the repositories that they activated become their projects, each with a first sync, and its
    unfinished syncs become jobs. What is there already stays as it is: it may be done again.
    """
    from cidx_jobs.cli.actions.restore import import_cidx as bring_in

    return bring_in(target, database, is_dry=dry_run)


COMMANDS = (restore, import_cidx)
