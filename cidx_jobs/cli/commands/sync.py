"""``sync`` and ``watch``: a job shown live to its end."""

from collections.abc import Callable
from typing import Any

import click

from cidx_jobs.cli.option_types import NOTIFY, PRIORITY, SECONDS, Every, examples
from cidx_jobs.cli.target import Target, client_command
from cidx_jobs.cli.terminal.completion import complete_jobs, complete_projects

ON_CONFLICT = click.Choice(["coalesce", "reject", "replace"])


def watch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on how long to watch."""
    for option in (
        click.option(
            "--cancel-on-timeout", is_flag=True, help="Also cancel the job when the time is up."
        ),
        click.option(
            "--timeout",
            metavar="DURATION",
            type=SECONDS,
            help="Watch no longer than this; the job goes on.",
        ),
    ):
        function = option(function)
    return function


@click.command(
    epilog=examples(
        "cidx-jobs sync attrs --url https://github.com/python-attrs/attrs.git",
        "cidx-jobs sync attrs msgspec --detach",
        "cidx-jobs sync --all",
        "cidx-jobs sync attrs --detach --notify https://ci.example.org/done",
    )
)
@click.argument("projects", metavar="[PROJECT]...", nargs=-1, shell_complete=complete_projects)
@click.option("--all", "takes_all", is_flag=True, help="All your projects.")
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
@click.option("--user", help="For this user; for administrators.")
@click.option("--url", help="The repository; that of the last sync if left out.")
@click.option(
    "--branch", help="The branch; that of the last sync if left out, '' for the default one."
)
@click.option("--yes", is_flag=True, help="Do not ask where the project had another --url.")
@click.option("--full", is_flag=True, help="Index every file anew.")
@PRIORITY
@click.option("--on-conflict", type=ON_CONFLICT, default="coalesce", show_default=True)
@click.option(
    "--every",
    type=Every(),
    help="Ask the remote for news so often from then on: 10m, 2h; auto, or never.",
)
@NOTIFY
@watch_options
@client_command
def sync(
    target: Target,
    *,
    projects: tuple[str, ...],
    user: str | None,
    url: str | None,
    branch: str | None,
    priority: int | None,
    on_conflict: str,
    every: int | str | None,
    notify: str | None,
    timeout: float | None,
    full: bool,
    yes: bool,
    cancel_on_timeout: bool,
    takes_all: bool,
    detach: bool,
) -> int:
    """Sync and index repositories, shown live.

    PROJECT is what it is called from then on. Of several the ends are told, not the way there.
    Ctrl-C asks whether to cancel the job; a second one detaches from it.
    """
    from cidx_jobs.cli.actions.sync import (
        WatchOptions,
        confirm_url,
        sync_project,
        sync_projects,
    )

    if bool(projects) == takes_all:
        message = "name the projects, or say --all"
        raise click.UsageError(message)
    is_one = len(projects) == 1
    if url is not None and not is_one:
        message = "--url is for one project"
        raise click.UsageError(message)
    if url is not None and not yes:
        confirm_url(target, projects[0], url, user)
    members = {
        "branch": branch,
        "full_reindex": full or None,
        "priority": priority,
        "on_conflict": on_conflict,
        "user_id": user,
        "notify": notify,
    }
    if detach or not is_one:
        names = None if takes_all else projects
        return sync_projects(
            target, names, timeout, every, detach=detach, repository_url=url, **members
        )
    watch = WatchOptions(
        timeout_seconds=timeout, cancel_on_timeout=cancel_on_timeout, asks_on_interrupt=True
    )
    return sync_project(target, projects[0], watch, every, repository_url=url, **members)


@click.command(epilog=examples("cidx-jobs watch @latest", "cidx-jobs watch 3f9c --timeout 15m"))
@click.argument("job", metavar="ID", shell_complete=complete_jobs)
@watch_options
@client_command
def watch(target: Target, job: str, timeout: float | None, *, cancel_on_timeout: bool) -> int:
    """Show a job live until it is done.

    Ctrl-C detaches from the job and leaves it alone.
    """
    from cidx_jobs.cli.actions.sync import WatchOptions, watch_job

    options = WatchOptions(timeout_seconds=timeout, cancel_on_timeout=cancel_on_timeout)
    return watch_job(target, job, options)


COMMANDS = (sync, watch)
