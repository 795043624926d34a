"""The commands on jobs: submit, status, list, wait, cancel, retry, events, queue, search."""

from typing import Any

import click

from cidx_jobs.cli.commands.sync import ON_CONFLICT, watch_options
from cidx_jobs.cli.option_types import KEY_LIMIT, KEY_VALUE, SECONDS, HeaderText, Time
from cidx_jobs.cli.target import Target, client_command

STATUSES = ("created", "queued", "running", "completed", "failed", "cancelled")


@click.command()
@click.argument("job_type", metavar="TYPE")
@click.option("--project", "-p", required=True, help="The project that the job belongs to.")
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    type=KEY_VALUE,
    help="An option; V may be JSON.",
)
@click.option("--label", "-l", "labels", multiple=True, type=KEY_VALUE, help="A label.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=KEY_LIMIT,
    help="Of all your jobs with KEY at most N run at a time; may be given up to 8 times.",
)
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, 9 first.")
@click.option("--max-attempts", type=click.IntRange(min=1), help="How often it is tried.")
@click.option(
    "--run-timeout", "timeout_seconds", type=SECONDS, help="Seconds that a run may take."
)
@click.option("--start-at", type=Time(), help="Not before this time (RFC 3339).")
@click.option("--hold", is_flag=True, help="Not before somebody starts it.")
@click.option("--on-conflict", type=ON_CONFLICT, default="coalesce", show_default=True)
@click.option("--idempotency-key", type=HeaderText(), help="The same key again gives the one job.")
@click.option("--watch", "is_watched", is_flag=True, help="Watch it to its end.")
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


@click.command()
@click.argument("job", metavar="ID")
@client_command
def status(target: Target, job: str) -> int:
    """Show how a job stands, or how it ended."""
    from cidx_jobs.cli.actions.jobs import show_job

    return show_job(target, job)


@click.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES))
@click.option("--project", "-p", help="Only of this project.")
@click.option("--type", "job_type", help="Only of this type.")
@click.option("--user", help="Only of this user (admin).")
@click.option("--label", "-l", "labels", multiple=True, type=KEY_VALUE, help="Only with this.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@client_command
def list_(
    target: Target,
    *,
    statuses: tuple[str, ...],
    project: str | None,
    job_type: str | None,
    user: str | None,
    labels: tuple[tuple[str, str], ...],
    limit: int,
) -> int:
    """List jobs, newest first."""
    from cidx_jobs.cli.actions.jobs import show_jobs

    return show_jobs(
        target,
        status=statuses,
        project_id=project,
        job_type=job_type,
        user_id=user,
        labels=dict(labels),
        limit=limit,
    )


@click.command()
@click.argument("jobs", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--timeout",
    metavar="SECONDS",
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


@click.command()
@click.argument("jobs", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", help="Shown to who reads the job.")
@client_command
def cancel(target: Target, jobs: tuple[str, ...], reason: str | None) -> int:
    """Ask for jobs to stop.

    Exits with the largest code of them.
    """
    from cidx_jobs.cli.actions.jobs import cancel_jobs

    return cancel_jobs(target, jobs, reason)


@click.command()
@click.argument("job", metavar="ID")
@click.option("--from-start", is_flag=True, help="Without the checkpoint.")
@client_command
def retry(target: Target, job: str, *, from_start: bool) -> int:
    """Queue a failed or cancelled job again."""
    from cidx_jobs.cli.actions.jobs import retry_job

    return retry_job(target, job, from_start=from_start)


@click.command()
@click.argument("job", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is done, as they happen.")
@client_command
def events(target: Target, job: str, *, follow: bool) -> int:
    """Show every transition of a job, oldest first."""
    from cidx_jobs.cli.actions.jobs import follow_log, show_events

    return follow_log(target, job) if follow else show_events(target, job)


@click.command()
@client_command
def queue(target: Target) -> int:
    """Show the limits, the slots in use and your waiting jobs."""
    from cidx_jobs.cli.actions.jobs import show_queue

    return show_queue(target)


@click.command()
@click.argument("project")
@click.argument("text")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), help="At most so many lines; 50 if left out."
)
@click.option("--all", "shows_all", is_flag=True, help="All lines, however many.")
@click.option("--path", help="Only below this path.")
@client_command
def search(
    target: Target,
    project: str,
    text: str,
    limit: int | None,
    path: str | None,
    *,
    shows_all: bool,
) -> int:
    """Search the index of a project.

    Shows the lines that hold TEXT: three characters or more, letter case does not count. The
    exit code is 1 when nothing is found.
    """
    from cidx_jobs.cli.actions.jobs import SearchOptions, show_hits

    options = SearchOptions(limit=limit, path=path, shows_all=shows_all)
    return show_hits(target, project, text, options)


COMMANDS = (submit, status, list_, wait, cancel, retry, events, queue, search)
