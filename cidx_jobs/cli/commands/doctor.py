"""``doctor``: the consistency check of a server and its database."""

import click

from cidx_jobs.cli.target import Target, admin_command


@click.command()
@click.option("--deep", is_flag=True, help="Also compare every index of the database: slower.")
@admin_command
def doctor(target: Target, *, deep: bool) -> int:
    """Look for what does not fit together in a server.

    Compares rows, log, slots and processes.

    Asks the server that owns the data directory; where none does, it reads the database itself
    and changes nothing.
    """
    from cidx_jobs.cli.actions.doctor import examine

    return examine(target, deep=deep)


COMMANDS = (doctor,)
