"""``admin``: the commands of an operator of a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cidx_jobs.cli.option_types import CONFIG, DATA_DIR, KEY_VALUE, YES, Seconds, examples
from cidx_jobs.cli.target import Target, admin_command, local_command


@click.group(epilog=examples("cidx-jobs admin stats"))
def admin() -> None:
    """Operate a server.

    Speaks to the server that owns the data directory, with the token that it keeps there; where
    none does, it opens the directory itself. With --server it speaks to that one, with
    CIDX_JOBS_TOKEN.
    """


@admin.command(epilog=examples("cidx-jobs admin stats --data-dir jobs-data"))
@admin_command
def stats(target: Target) -> int:
    """Show counts, waits, slots and sizes."""
    from cidx_jobs.cli.actions.admin import show_stats

    return show_stats(target)


@admin.command(
    epilog=examples("cidx-jobs admin limits --set max_running_total=20 --set resources.git=4")
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    type=KEY_VALUE,
    metavar="NAME=N",
    help="A limit, or resources.NAME.",
)
@admin_command
def limits(target: Target, changes: tuple[tuple[str, str], ...]) -> int:
    """Show the limits, or put others in force."""
    from cidx_jobs.cli.actions.admin import show_limits

    return show_limits(target, changes)


def _which_jobs(function: Callable[..., Any]) -> Callable[..., Any]:
    user = click.option("--user", help="Only the jobs of this user.")
    job_type = click.option("--type", "job_type", help="Only the jobs of this type.")
    return user(job_type(function))


@admin.command(epilog=examples("cidx-jobs admin pause", "cidx-jobs admin pause --user bob"))
@_which_jobs
@admin_command
def pause(target: Target, **which: Any) -> int:
    """Keep jobs from starting; what runs goes on."""
    from cidx_jobs.cli.actions.admin import set_pause

    return set_pause(target, is_paused=True, **which)


@admin.command(epilog=examples("cidx-jobs admin resume"))
@_which_jobs
@admin_command
def resume(target: Target, **which: Any) -> int:
    """Let jobs start again."""
    from cidx_jobs.cli.actions.admin import set_pause

    return set_pause(target, is_paused=False, **which)


@admin.command(epilog=examples("cidx-jobs admin drain --wait", "cidx-jobs admin drain --off"))
@click.option("--off", is_flag=True, help="Take new jobs again.")
@click.option("--wait", is_flag=True, help="Come back when nothing runs any more.")
@admin_command
def drain(target: Target, *, off: bool, wait: bool) -> int:
    """Refuse new jobs, start none, and finish what runs.

    With --wait the exit code is 1 when somebody ends the drain before nothing runs.
    """
    from cidx_jobs.cli.actions.admin import drain_and_wait, set_drain

    if off and wait:
        message = "--off and --wait do not go together"
        raise click.UsageError(message)
    if wait:
        return drain_and_wait(target)
    return set_drain(target, is_draining=not off)


@admin.command(
    epilog=examples("cidx-jobs admin cleanup --older-than 30d --status failed --dry-run")
)
@click.option(
    "--older-than",
    type=Seconds(min=0),
    required=True,
    metavar="DURATION",
    help="How long ago they finished, at least.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(["completed", "failed", "cancelled"]),
    help="Only these; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Count them, and delete none.")
@YES
@admin_command
def cleanup(target: Target, *, yes: bool, **which: Any) -> int:
    """Delete finished jobs, with their events; on a terminal it says how many, and asks first."""
    from cidx_jobs.cli.actions.admin import clean_up

    return clean_up(target, **which, is_sure=yes)


@admin.command(epilog=examples("cidx-jobs admin compact --data-dir jobs-data"))
@DATA_DIR
@CONFIG
@local_command
def compact(target: Target, *, data_dir: Path | None, config: Path | None) -> int:
    """Write the database of a stopped server anew, without its free pages.

    One that an older version made gives the pages of deleted jobs back from then on, as new ones
    do by themselves.
    """
    from cidx_jobs.cli.actions.admin import compact_database

    return compact_database(target, data_dir, config)


@admin.command(epilog=examples("cidx-jobs admin backup", "cidx-jobs admin backup list"))
@click.argument("what", required=False, type=click.Choice(["list"]))
@admin_command
def backup(target: Target, *, what: str | None) -> int:
    """Make a backup of the database now; or list the backups.

    What was committed is in it, was read again, and is on the disk when its name is printed.
    `cidx-jobs restore` puts it in place.
    """
    from cidx_jobs.cli.actions.admin import make_backup, show_backups

    return make_backup(target) if what is None else show_backups(target)


@admin.command(epilog=examples("cidx-jobs admin log --limit 20"))
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="How many entries.",
)
@admin_command
def log(target: Target, *, limit: int) -> int:
    """Show what administrators did and who was refused, newest first."""
    from cidx_jobs.cli.actions.admin import show_log

    return show_log(target, limit=limit)


COMMANDS = (admin,)
