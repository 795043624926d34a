"""``sync`` and ``watch``: a job shown live to its end."""

from collections.abc import Callable
from typing import Any

import click

from cidx_jobs.cli.option_types import SECONDS, Every
from cidx_jobs.cli.target import Target, client_command

ON_CONFLICT = click.Choice(["coalesce", "reject", "replace"])


def watch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on how long to watch."""
    for option in (
        click.option(
            "--cancel-on-timeout", is_flag=True, help="Also cancel the job when the time is up."
        ),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=SECONDS,
            help="Watch no longer than this; the job goes on.",
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("project")
@click.option("--url", help="The repository; that of the last sync if left out.")
@click.option(
    "--branch", help="The branch; that of the last sync if left out, '' for the default one."
)
@click.option("--yes", is_flag=True, help="Do not ask where the project had another --url.")
@click.option("--full", is_flag=True, help="Index every file anew.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, 9 first.")
@click.option("--on-conflict", type=ON_CONFLICT, default="coalesce", show_default=True)
@click.option(
    "--every",
    type=Every(),
    help="Ask the remote for news so often from then on: 10m, 2h; auto, or never.",
)
@watch_options
@client_command
def sync(
    target: Target,
    *,
    project: str,
    url: str | None,
    branch: str | None,
    priority: int | None,
    on_conflict: str,
    every: int | str | None,
    timeout: float | None,
    full: bool,
    yes: bool,
    cancel_on_timeout: bool,
) -> int:
    """Sync and index a repository, shown live.

    PROJECT is what it is called from then on. Ctrl-C asks whether to cancel the job; a second
    one detaches from it.
    """
    from cidx_jobs.cli.actions.sync import WatchOptions, confirm_url, sync_project

    if url is not None and not yes:
        confirm_url(target, project, url)
    watch = WatchOptions(
        timeout_seconds=timeout, cancel_on_timeout=cancel_on_timeout, asks_on_interrupt=True
    )
    return sync_project(
        target,
        project,
        watch,
        every,
        repository_url=url,
        branch=branch,
        full_reindex=full or None,
        priority=priority,
        on_conflict=on_conflict,
    )


@click.command()
@click.argument("job", metavar="ID")
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
