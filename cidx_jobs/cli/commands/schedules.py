"""``schedule add``, ``list``, ``show``, ``run``, ``enable``, ``disable`` and ``remove``."""

from typing import Any

import click

from cidx_jobs.cli.option_types import (
    KEY_VALUE,
    LABELS,
    NOTIFY,
    PRIORITY,
    RUN_TIMEOUT,
    YES,
    Duration,
    examples,
)
from cidx_jobs.cli.target import Target, client_command
from cidx_jobs.cli.terminal.completion import (
    complete_job_types,
    complete_projects,
    complete_schedules,
)

_USER = click.option("--user", metavar="USER", help="Another user's schedule, as an admin.")


@click.group(epilog=examples("cidx-jobs schedule list"))
def schedule() -> None:
    """Have jobs submitted by themselves, at their times."""


@schedule.command(
    "add",
    epilog=examples(
        "cidx-jobs schedule add nightly -p docs --cron '30 2 * * *' --timezone Europe/Berlin",
        "cidx-jobs schedule add often -p docs --every 15m --jitter 1m",
    ),
)
@click.argument("name")
@click.option(
    "--project",
    "-p",
    required=True,
    shell_complete=complete_projects,
    help="The project that the jobs belong to.",
)
@click.option(
    "--type",
    "-t",
    "job_type",
    default="repository_sync",
    show_default=True,
    shell_complete=complete_job_types,
)
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    type=KEY_VALUE,
    help="An option of each job; V may be JSON.",
)
@LABELS
@click.option("--cron", metavar="LINE", help="A cron line of five fields, or @daily and its like.")
@click.option(
    "--every",
    "every_seconds",
    type=Duration(),
    help="In even intervals from now on, such as 90s, 15m, 2h, 7d.",
)
@click.option("--timezone", default="UTC", show_default=True, help="The time zone of the line.")
@click.option(
    "--jitter",
    "jitter_seconds",
    type=Duration(is_zero_taken=True),
    default="0",
    help="Up to so much later, by a time of its own.",
)
@click.option(
    "--catch-up",
    type=click.Choice(["once", "skip"]),
    default="once",
    show_default=True,
    help="After a stop: one job for all times that were missed, or none.",
)
@PRIORITY
@click.option("--max-attempts", type=click.IntRange(min=1), help="How often each job is tried.")
@RUN_TIMEOUT
@NOTIFY
@click.option("--disabled", is_flag=True, help="Do not fire before it is enabled.")
@_USER
@client_command
def add(
    target: Target,
    name: str,
    *,
    project: str,
    cron: str | None,
    every_seconds: int | None,
    user: str | None,
    disabled: bool,
    **members: Any,
) -> int:
    """Make the schedule NAME: it submits a job at each of its times."""
    from cidx_jobs.cli.actions.schedules import add_schedule

    if (cron is None) is (every_seconds is None):
        message = "give either --cron or --every"
        raise click.UsageError(message)
    return add_schedule(
        target,
        name,
        project,
        cron=cron,
        every_seconds=every_seconds,
        user_id=user,
        enabled=not disabled,
        **members,
    )


@schedule.command("list", epilog=examples("cidx-jobs schedule list"))
@click.option(
    "--user", metavar="USER", help="Another user's, or '*' for everybody's, as an admin."
)
@client_command
def list_(target: Target, user: str | None) -> int:
    """List your schedules: when each comes next, and what became of its last job."""
    from cidx_jobs.cli.actions.schedules import list_schedules

    return list_schedules(target, user)


@schedule.command("show", epilog=examples("cidx-jobs schedule show nightly"))
@click.argument("name", shell_complete=complete_schedules)
@_USER
@client_command
def show(target: Target, name: str, user: str | None) -> int:
    """Show a schedule: what it submits, its next times, its last job, what it missed."""
    from cidx_jobs.cli.actions.schedules import show_schedule

    return show_schedule(target, name, user)


@schedule.command("run", epilog=examples("cidx-jobs schedule run nightly"))
@click.argument("name", shell_complete=complete_schedules)
@_USER
@client_command
def run(target: Target, name: str, user: str | None) -> int:
    """Submit the schedule's job now, also of one that is disabled."""
    from cidx_jobs.cli.actions.schedules import run_schedule

    return run_schedule(target, name, user)


@schedule.command("enable", epilog=examples("cidx-jobs schedule enable nightly"))
@click.argument("name", shell_complete=complete_schedules)
@_USER
@client_command
def enable(target: Target, name: str, user: str | None) -> int:
    """Let a schedule fire; an interval counts from now on."""
    from cidx_jobs.cli.actions.schedules import switch_schedule

    return switch_schedule(target, name, user, is_enabled=True)


@schedule.command("disable", epilog=examples("cidx-jobs schedule disable nightly"))
@click.argument("name", shell_complete=complete_schedules)
@_USER
@client_command
def disable(target: Target, name: str, user: str | None) -> int:
    """Let a schedule fire no more until it is enabled; run still works."""
    from cidx_jobs.cli.actions.schedules import switch_schedule

    return switch_schedule(target, name, user, is_enabled=False)


@schedule.command("remove", epilog=examples("cidx-jobs schedule remove nightly"))
@click.argument("name", shell_complete=complete_schedules)
@_USER
@YES
@client_command
def remove(target: Target, name: str, user: str | None, *, yes: bool) -> int:
    """Remove a schedule; the jobs that it submitted stay."""
    from cidx_jobs.cli.actions.schedules import remove_schedule

    return remove_schedule(target, name, user, is_sure=yes)


COMMANDS = (schedule,)
