"""``project list``, ``show`` and ``remove``."""

import click

from cidx_jobs.cli.option_types import USER, YES, examples
from cidx_jobs.cli.target import Target, client_command
from cidx_jobs.cli.terminal.completion import complete_projects


@click.group(epilog=examples("cidx-jobs project list"))
def project() -> None:
    """See and remove your projects."""


@project.command(
    "list", epilog=examples("cidx-jobs project list", "cidx-jobs project list --all --json")
)
@click.option("--all", "shows_all", is_flag=True, help="Everybody's, with the bytes by user.")
@USER
@client_command
def list_(target: Target, user: str | None, *, shows_all: bool) -> int:
    """List your projects, with the sizes of their copies and indexes."""
    from cidx_jobs.cli.actions.projects import show_projects

    return show_projects(target, user, shows_all=shows_all)


@project.command("show", epilog=examples("cidx-jobs project show attrs"))
@click.argument("project", shell_complete=complete_projects)
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@USER
@client_command
def show(target: Target, project: str, limit: int, user: str | None) -> int:
    """Show what is known of a project, and what of it cannot be found and why."""
    from cidx_jobs.cli.actions.projects import show_project

    return show_project(target, project, limit, user)


@project.command(
    "remove",
    epilog=examples(
        "cidx-jobs project remove attrs", "cidx-jobs project remove attrs --user alice --yes"
    ),
)
@click.argument("project", shell_complete=complete_projects)
@YES
@USER
@client_command
def remove(target: Target, project: str, user: str | None, *, yes: bool) -> int:
    """Remove a project: its copy, its index, and what is known of it.

    Asks first. A project with a job that is not done is left alone.
    """
    from cidx_jobs.cli.actions.projects import remove_project

    return remove_project(target, project, user, is_sure=yes)


COMMANDS = (project,)
