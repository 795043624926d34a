"""``hook create``, ``show`` and ``remove``, and ``notify-secret``."""

import click

from cidx_jobs.cli.option_types import YES, examples
from cidx_jobs.cli.target import Target, client_command
from cidx_jobs.cli.terminal.completion import complete_projects

_USER = click.option("--user", metavar="USER", help="Another user's project, as an admin.")


@click.group(epilog=examples("cidx-jobs hook create attrs"))
def hook() -> None:
    """Let a code host tell of pushes to a project."""


@hook.command(
    "create",
    epilog=examples(
        "cidx-jobs hook create attrs", "cidx-jobs hook create attrs --user alice --json"
    ),
)
@click.argument("project", shell_complete=complete_projects)
@_USER
@client_command
def create(target: Target, project: str, user: str | None) -> int:
    """Make a push hook for PROJECT, or a new secret for the one that it has.

    Prints the address and the secret that the code host is to be given. The secret is shown this
    once.
    """
    from cidx_jobs.cli.actions.hooks import create_hook

    return create_hook(target, project, user)


@hook.command("show", epilog=examples("cidx-jobs hook show attrs"))
@click.argument("project", shell_complete=complete_projects)
@_USER
@client_command
def show(target: Target, project: str, user: str | None) -> int:
    """Show the address of PROJECT's hook, and what came to it last."""
    from cidx_jobs.cli.actions.hooks import show_hook

    return show_hook(target, project, user)


@hook.command("remove", epilog=examples("cidx-jobs hook remove attrs"))
@click.argument("project", shell_complete=complete_projects)
@_USER
@YES
@client_command
def remove(target: Target, project: str, user: str | None, *, yes: bool) -> int:
    """Remove PROJECT's hook: pushes that are sent to its address are refused from then on."""
    from cidx_jobs.cli.actions.hooks import remove_hook

    return remove_hook(target, project, user, is_sure=yes)


@click.command("notify-secret", epilog=examples("cidx-jobs notify-secret > notify-secret.txt"))
@client_command
def notify_secret(target: Target) -> int:
    """Make the secret that signs what is told of your jobs' ends.

    Prints it alone: it is shown this once. One that you had signs nothing any more. What
    `--notify` names is told with it.
    """
    from cidx_jobs.cli.actions.hooks import make_notify_secret

    return make_notify_secret(target)


COMMANDS = (hook, notify_secret)
