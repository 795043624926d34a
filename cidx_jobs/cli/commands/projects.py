"""``project list``, ``show`` and ``remove``."""

import click

from cidx_jobs.cli.target import Target, client_command


@click.group()
def project() -> None:
    """See and remove your projects."""


@project.command("list")
@client_command
def list_(target: Target) -> int:
    """List your projects, with the sizes of their copies and indexes."""
    from cidx_jobs.cli.actions.projects import show_projects

    return show_projects(target)


@project.command("show")
@click.argument("project")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@client_command
def show(target: Target, project: str, limit: int) -> int:
    """Show what is known of a project, and what of it cannot be found and why."""
    from cidx_jobs.cli.actions.projects import show_project

    return show_project(target, project, limit)


@project.command("remove")
@click.argument("project")
@client_command
def remove(target: Target, project: str) -> int:
    """Remove a project: its copy, its index, and what is known of it.

    A project with a job that is not done is left alone.
    """
    from cidx_jobs.cli.actions.projects import remove_project

    return remove_project(target, project)


COMMANDS = (project,)
