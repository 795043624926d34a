"""Completion by a shell of what only the server knows: ids of jobs, names of the rest."""

import click

from cidx_jobs.cli.target import read_target

_OF_USERS = frozenset({"list_jobs", "list_projects", "list_schedules"})


def complete_jobs(context: click.Context, _: click.Parameter, beginning: str) -> list[str]:
    """Return ids of the newest jobs that begin so, for a shell to complete."""
    return _complete(context, "list_jobs", "jobs", "job_id", beginning)


def complete_projects(context: click.Context, _: click.Parameter, beginning: str) -> list[str]:
    """Return the names of projects that begin so, for a shell to complete."""
    return _complete(context, "list_projects", "projects", "project_id", beginning)


def complete_schedules(context: click.Context, _: click.Parameter, beginning: str) -> list[str]:
    """Return the names of schedules that begin so, for a shell to complete."""
    return _complete(context, "list_schedules", "schedules", "name", beginning)


def complete_job_types(context: click.Context, _: click.Parameter, beginning: str) -> list[str]:
    """Return the names of job types that begin so, for a shell to complete."""
    return _complete(context, "list_job_types", "job_types", "name", beginning)


def _complete(
    context: click.Context, call: str, members: str, name: str, beginning: str
) -> list[str]:
    from cidx_jobs.cli.async_run import ask
    from cidx_jobs.client import JobsClientError

    options = {**context.find_root().params, **context.params}
    target = read_target(options.get("server"), profile=options.get("profile"), as_json=False)
    # Whose they are, where that was typed before: an administrator's work on another's things.
    user = options.get("user") or options.get("user_id")
    whose = {"user_id": user} if user and call in _OF_USERS else {}
    try:
        found = ask(target, lambda client: getattr(client, call)(**whose))
    except (JobsClientError, click.ClickException):
        return []  # nobody is there to be told
    names = dict.fromkeys(str(getattr(one, name)) for one in getattr(found, members))
    return [one for one in names if one.startswith(beginning)]
