"""``doctor``: the consistency check of a server and its database."""

import click

from cidx_jobs.cli.option_types import examples
from cidx_jobs.cli.target import Target, admin_command


@click.command(
    epilog=examples(
        "cidx-jobs doctor --data-dir jobs-data", "cidx-jobs doctor --fix --data-dir jobs-data"
    )
)
@click.option("--deep", is_flag=True, help="Also compare every index of the database: slower.")
@click.option("--fix", is_flag=True, help="Mend what can be mended; say what to do for the rest.")
@admin_command
def doctor(target: Target, *, deep: bool, fix: bool) -> int:
    """Look for what does not fit together in a server.

    Compares rows, log, slots and processes.

    Asks the server that owns the data directory; where none does, it reads the database itself
    and changes nothing, unless --fix is given.
    """
    from cidx_jobs.cli.actions.doctor import examine, mend

    return (mend if fix else examine)(target, deep=deep)


COMMANDS = (doctor,)
