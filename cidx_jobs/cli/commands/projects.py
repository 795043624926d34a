"""The commands on projects: see what there is, and remove it."""

import click

from cidx_jobs.cli.target import Target, talks


@click.group()
def project() -> None:
    """See and remove your projects."""


@project.command("list")
@talks
def list_projects(target: Target) -> int:
    """List your projects, with the sizes of their copies and indexes."""
    from cidx_jobs.cli.actions.projects import show

    return show(target)


@project.command("remove")
@click.argument("project")
@talks
def remove_project(target: Target, project: str) -> int:
    """Remove a project: its copy, its index, and what is known of it.

    A project with a job that is not done is left alone.
    """
    from cidx_jobs.cli.actions.projects import remove

    return remove(target, project)


COMMANDS = (project,)
