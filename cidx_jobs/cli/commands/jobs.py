"""The commands on jobs: submitted, listed, read, waited for, changed, and what they found."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from cidx_jobs.cli.commands.sync import ON_CONFLICT, watch_options
from cidx_jobs.cli.option_types import (
    KEY_LIMIT,
    KEY_VALUE,
    LABELS,
    NOTIFY,
    PRIORITY,
    RUN_TIMEOUT,
    SECONDS,
    USER,
    YES,
    HeaderText,
    Since,
    Time,
    examples,
)
from cidx_jobs.cli.target import Target, client_command
from cidx_jobs.cli.terminal.completion import complete_job_types, complete_jobs, complete_projects

STATUSES = ("created", "queued", "running", "completed", "failed", "cancelled")


@click.command(
    epilog=examples(
        'cidx-jobs submit reindex --project attrs -o \'names=["a","b"]\'',
        "cidx-jobs submit reindex -p attrs --run-timeout 2h --limit tenant:7=3 --watch",
        "cidx-jobs submit reindex -p attrs --notify https://ci.example.org/done",
    )
)
@click.argument("job_type", metavar="TYPE", shell_complete=complete_job_types)
@click.option(
    "--project",
    "-p",
    required=True,
    shell_complete=complete_projects,
    help="The project that the job belongs to.",
)
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    type=KEY_VALUE,
    help="An option; V may be JSON.",
)
@LABELS
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=KEY_LIMIT,
    help="Of all your jobs with KEY at most N run at a time; may be given up to 8 times.",
)
@PRIORITY
@click.option("--max-attempts", type=click.IntRange(min=1), help="How often it is tried.")
@RUN_TIMEOUT
@click.option("--start-at", type=Time(), help="Not before this time (RFC 3339).")
@click.option("--hold", is_flag=True, help="Not before somebody starts it.")
@click.option("--on-conflict", type=ON_CONFLICT, default="coalesce", show_default=True)
@click.option("--idempotency-key", type=HeaderText(), help="The same key again gives the one job.")
@NOTIFY
@click.option("--watch", "is_watched", is_flag=True, help="Watch it to its end.")
@click.option("--user", "user_id", help="For this user; for administrators.")
@watch_options
@client_command
def submit(
    target: Target,
    job_type: str,
    project: str,
    timeout: float | None,
    *,
    is_watched: bool,
    cancel_on_timeout: bool,
    **members: Any,
) -> int:
    """Submit a job of any registered TYPE."""
    from cidx_jobs.cli.actions.jobs import submit_job
    from cidx_jobs.cli.actions.sync import WatchOptions

    watch = WatchOptions(
        timeout_seconds=timeout, cancel_on_timeout=cancel_on_timeout, asks_on_interrupt=True
    )
    return submit_job(target, job_type, project, watch if is_watched else None, **members)


@click.command(epilog=examples("cidx-jobs status", "cidx-jobs status 3f9c0a12b77e"))
@click.argument("job", metavar="[ID]", default="@latest", shell_complete=complete_jobs)
@client_command
def status(target: Target, job: str) -> int:
    """Show how a job stands, or how it ended.

    Without ID it is the newest that you submitted.
    """
    from cidx_jobs.cli.actions.jobs import show_job

    return show_job(target, job)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose jobs; the command gets them as `filters`."""

    @click.option("--status", multiple=True, type=click.Choice(STATUSES), help="Only these.")
    @click.option(
        "--project", "-p", shell_complete=complete_projects, help="Only of this project."
    )
    @click.option("--type", "job_type", help="Only of this type.")
    @click.option("--user", help="Only of this user; for administrators and auditors.")
    @click.option("--label", "-l", "labels", multiple=True, type=KEY_VALUE, help="Only with this.")
    @click.option("--since", type=Since(), help="Only those submitted since then: 2h, 7d, a time.")
    @functools.wraps(function)
    def with_filters(
        *arguments: Any,
        status: tuple[str, ...],
        project: str | None,
        job_type: str | None,
        user: str | None,
        labels: tuple[tuple[str, str], ...],
        since: datetime | None,
        **options: Any,
    ) -> Any:
        filters = {
            "status": status,
            "project_id": project,
            "job_type": job_type,
            "user_id": user,
            "labels": dict(labels),
            "created_after": since,
        }
        return function(*arguments, filters=filters, **options)

    return with_filters


@click.command(
    "list",
    epilog=examples(
        "cidx-jobs list --status failed --since 2h",
        "cidx-jobs list --project attrs --limit 1000 --utc",
        "cidx-jobs list --status running --watch",
    ),
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--all", "shows_all", is_flag=True, help="All that fit, however many.")
@click.option("--watch", "is_watched", is_flag=True, help="Show it anew as it changes.")
@client_command
@filter_options
def list_(
    target: Target, *, limit: int, shows_all: bool, is_watched: bool, filters: dict[str, Any]
) -> int:
    """List jobs, newest first, by the ends of their ids."""
    from cidx_jobs.cli.actions.jobs import show_jobs

    return show_jobs(target, None if shows_all else limit, is_watched=is_watched, **filters)


@click.command(epilog=examples("cidx-jobs wait @latest --timeout 15m"))
@click.argument("jobs", metavar="ID...", nargs=-1, required=True, shell_complete=complete_jobs)
@click.option(
    "--timeout",
    metavar="DURATION",
    type=SECONDS,
    help="Wait no longer than this.",
)
@client_command
def wait(target: Target, jobs: tuple[str, ...], timeout: float | None) -> int:
    """Wait until jobs are done.

    Exits with the largest code of them.
    """
    from cidx_jobs.cli.actions.jobs import wait_for_jobs

    return wait_for_jobs(target, jobs, timeout)


@click.command(
    epilog=examples(
        "cidx-jobs cancel 3f9c0a12b77e", "cidx-jobs cancel --project attrs --status queued --yes"
    )
)
@click.argument("jobs", metavar="[ID]...", nargs=-1, shell_complete=complete_jobs)
@click.option("--reason", help="Shown to who reads the job.")
@YES
@client_command
@filter_options
def cancel(
    target: Target,
    jobs: tuple[str, ...],
    reason: str | None,
    *,
    yes: bool,
    filters: dict[str, Any],
) -> int:
    """Ask for jobs to stop.

    Those that are named, or all that the options choose: of these it says first how many they
    are, and asks; those that are not done are meant. Exits with the largest code of them.
    """
    from cidx_jobs.cli.actions.jobs import Chosen, cancel_jobs

    usual = ("created", "queued", "running")
    return cancel_jobs(
        target, Chosen(names=jobs, filters=filters, usual=usual, is_sure=yes), reason
    )


@click.command(
    epilog=examples(
        "cidx-jobs retry @latest", "cidx-jobs retry --status failed --since 2h --project attrs"
    )
)
@click.argument("jobs", metavar="[ID]...", nargs=-1, shell_complete=complete_jobs)
@click.option("--from-start", is_flag=True, help="Without the checkpoint.")
@YES
@client_command
@filter_options
def retry(
    target: Target, jobs: tuple[str, ...], *, from_start: bool, yes: bool, filters: dict[str, Any]
) -> int:
    """Queue failed or cancelled jobs again.

    Those that are named, or all that the options choose: of these it says first how many they
    are, and asks; those that failed are meant. Exits with the largest code of them.
    """
    from cidx_jobs.cli.actions.jobs import Chosen, retry_jobs

    chosen = Chosen(names=jobs, filters=filters, usual=("failed",), is_sure=yes)
    return retry_jobs(target, chosen, from_start=from_start)


@click.command(
    epilog=examples(
        "cidx-jobs start 3f9c0a12b77e",
        "cidx-jobs start --project attrs",
        "cidx-jobs start --all --yes",
    )
)
@click.argument("jobs", metavar="[ID]...", nargs=-1, shell_complete=complete_jobs)
@click.option("--all", "is_all", is_flag=True, help="All that are held, as after a restore.")
@YES
@client_command
@filter_options
def start(
    target: Target, jobs: tuple[str, ...], *, is_all: bool, yes: bool, filters: dict[str, Any]
) -> int:
    """Let waiting jobs start now.

    Those that are named: held, waiting for their time, or for their next attempt. Or all held
    ones that the options choose, but for those whose start time is yet to come: of these it says
    first how many they are, and asks. Exits with the largest code of them.
    """
    from cidx_jobs.cli.actions.jobs import Chosen, start_jobs

    return start_jobs(
        target,
        Chosen(names=jobs, filters=filters, usual=("created",), is_sure=yes, is_all=is_all),
    )


@click.command(epilog=examples("cidx-jobs priority 3f9c0a12b77e 9"))
@click.argument("job", metavar="ID", shell_complete=complete_jobs)
@click.argument("number", metavar="N", type=click.IntRange(0, 9))
@client_command
def priority(target: Target, job: str, number: int) -> int:
    """Set the priority of a waiting job.

    N is 0 to 9, 9 first.
    """
    from cidx_jobs.cli.actions.jobs import set_priority

    return set_priority(target, job, number)


@click.command(epilog=examples("cidx-jobs events @latest --follow"))
@click.argument("job", metavar="ID", shell_complete=complete_jobs)
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is done, as they happen.")
@client_command
def events(target: Target, job: str, *, follow: bool) -> int:
    """Show every transition of a job, oldest first."""
    from cidx_jobs.cli.actions.jobs import follow_log, show_events

    return follow_log(target, job) if follow else show_events(target, job)


@click.command(epilog=examples("cidx-jobs queue"))
@client_command
def queue(target: Target) -> int:
    """Show the limits, the slots in use and your waiting jobs."""
    from cidx_jobs.cli.actions.jobs import show_queue

    return show_queue(target)


@click.command(
    epilog=examples("cidx-jobs search attrs 'def field'", "cidx-jobs search attrs TODO --all")
)
@click.argument("project", shell_complete=complete_projects)
@click.argument("text")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), help="At most so many lines; 50 if left out."
)
@click.option("--all", "shows_all", is_flag=True, help="All lines, however many.")
@click.option("--path", help="Only below this path.")
@USER
@client_command
def search(
    target: Target,
    project: str,
    text: str,
    *,
    limit: int | None,
    path: str | None,
    user: str | None,
    shows_all: bool,
) -> int:
    """Search the index of a project.

    Shows the lines that hold TEXT: three characters or more, letter case does not count. The
    exit code is 1 when nothing is found.
    """
    from cidx_jobs.cli.actions.jobs import SearchOptions, show_hits

    options = SearchOptions(limit=limit, path=path, shows_all=shows_all, user=user)
    return show_hits(target, project, text, options)


COMMANDS = (submit, status, list_, wait, cancel, retry, start, priority, events, queue, search)
