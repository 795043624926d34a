"""``doctor``: does everything fit together?"""

from pathlib import Path

import click

from cidx_jobs.cli.commands.tokens_and_settings import CONFIG, DATA_DIR
from cidx_jobs.cli.target import Target, talks


@click.command()
@click.option("--deep", is_flag=True, help="Also compare every index of the database: slower.")
@DATA_DIR
@CONFIG
@talks
def doctor(target: Target, data_dir: Path | None, config: Path | None, *, deep: bool) -> int:
    """Look for what does not fit together in a server.

    Compares rows, log, slots and processes.

    Asks the server that owns the data directory; where none does, it reads the database itself
    and changes nothing.
    """
    from cidx_jobs.cli.actions.doctor import examine

    return examine(target, data_dir, config, deep=deep)


COMMANDS = (doctor,)
