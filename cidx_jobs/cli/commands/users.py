"""``login``, ``logout``, ``whoami``, and the group ``user``: add, passwd, list, remove."""

import click

from cidx_jobs.cli.option_types import examples
from cidx_jobs.cli.target import Target, admin_command, client_command

_FROM_STDIN = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of stdin."
)


@click.group(epilog=examples("cidx-jobs user add alice"))
def user() -> None:
    """Say who may log in with a password.

    Speaks to the server that owns the data directory; where none does, it opens the directory
    itself. With --server it speaks to that one, with CIDX_JOBS_TOKEN.
    """


@user.command(
    "add",
    epilog=examples(
        "cidx-jobs user add alice",
        "cidx-jobs user add carol --scope audit --password-stdin < password.txt",
    ),
)
@click.argument("user_id", metavar="USER")
@click.option(
    "--scope", type=click.Choice(["write", "audit", "admin"]), default="write", show_default=True
)
@_FROM_STDIN
@admin_command
def add(target: Target, *, user_id: str, scope: str, password_stdin: bool) -> int:
    """Make an account for USER; the password is asked for."""
    from cidx_jobs.cli.actions.users import add_user

    return add_user(target, user_id, scope=scope, from_stdin=password_stdin)


@user.command("passwd", epilog=examples("cidx-jobs user passwd alice"))
@click.argument("user_id", metavar="USER")
@_FROM_STDIN
@admin_command
def passwd(target: Target, *, user_id: str, password_stdin: bool) -> int:
    """Set another password for USER; logins from before are refused."""
    from cidx_jobs.cli.actions.users import set_password

    return set_password(target, user_id, from_stdin=password_stdin)


@user.command("list", epilog=examples("cidx-jobs user list"))
@admin_command
def list_(target: Target) -> int:
    """List the accounts."""
    from cidx_jobs.cli.actions.users import show_users

    return show_users(target)


@user.command("remove", epilog=examples("cidx-jobs user remove alice --projects"))
@click.argument("user_id", metavar="USER")
@click.option("--projects", is_flag=True, help="Their projects go too.")
@click.option("--yes", is_flag=True, help="Do not ask first, where somebody could be asked.")
@admin_command
def remove(target: Target, *, user_id: str, projects: bool, yes: bool) -> int:
    """Remove USER: account, tokens and logins at once; their jobs are cancelled.

    On a terminal it asks first.
    """
    from cidx_jobs.cli.actions.users import remove_user

    return remove_user(target, user_id, projects=projects, is_sure=yes)


@click.command(
    epilog=examples(
        "cidx-jobs login --server https://jobs.example.org",
        "cidx-jobs login --profile work --token < token.txt",
    )
)
@click.option("--token", "from_token", is_flag=True, help="Read a token from one line of stdin.")
@client_command
def login(target: Target, *, from_token: bool) -> int:
    """Log in to a server, for all commands from then on.

    Asks for user and password, or takes a token. Server and token are kept in a file that you
    alone can read; --server, CIDX_JOBS_SERVER and CIDX_JOBS_TOKEN win over it.
    """
    from cidx_jobs.cli.actions.users import log_in

    return log_in(target, from_token=from_token)


@click.command(
    epilog=examples(
        "cidx-jobs logout",
        "cidx-jobs logout --profile work",
    )
)
@client_command
def logout(target: Target) -> int:
    """Forget the login."""
    from cidx_jobs.cli.actions.users import log_out

    return log_out(target)


@click.command(
    epilog=examples(
        "cidx-jobs whoami",
        "cidx-jobs whoami --profile work --json",
    )
)
@client_command
def whoami(target: Target) -> int:
    """Show who you are to the server, and where it is."""
    from cidx_jobs.cli.actions.users import show_oneself

    return show_oneself(target)


COMMANDS = (login, logout, whoami, user)
