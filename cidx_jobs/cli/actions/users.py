"""What ``login``, ``logout``, ``whoami`` and the commands of ``user`` do."""

import sys

import click

from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.profiles import DEFAULT, Profile, load_profiles, save_profile
from cidx_jobs.cli.target import DEFAULT_SERVER, Target
from cidx_jobs.cli.terminal.output import say, show_result
from cidx_jobs.cli.terminal.prompt import can_ask, confirm_removal
from cidx_jobs.cli.terminal.text import moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.tokens import LoggedInDocument


def add_user(target: Target, user_id: str, *, scope: str, from_stdin: bool) -> Exit:
    """Make an account."""
    password = _read_password(from_stdin=from_stdin)
    made = administer(
        target, lambda client: client.create_user(user_id, password, scope=scope), creates=True
    )
    return show_result(target, made)


def set_password(target: Target, user_id: str, *, from_stdin: bool) -> Exit:
    """Set another password."""
    password = _read_password(from_stdin=from_stdin)
    changed = administer(target, lambda client: client.change_user(user_id, password=password))
    return show_result(target, changed)


def show_users(target: Target) -> Exit:
    """Print the accounts."""
    found = administer(target, JobsClient.list_users)
    rows = [(escape(one.user_id), one.scope, moment(one.created_at)) for one in found.users]
    return show_result(target, found, table(("USER", "SCOPE", "CREATED"), rows, None))


def remove_user(target: Target, user_id: str, *, projects: bool, is_sure: bool) -> Exit:
    """Remove a user, with or without their projects; ask first where somebody can be asked."""
    what = f"{escape(user_id)}, and all their projects" if projects else escape(user_id)
    # A script says what it means by its command: an account is soon made again.
    if can_ask() and not confirm_removal(f"Remove {what}?", is_sure=is_sure):
        return Exit.FAILED
    administer(target, lambda client: client.remove_user(user_id, projects=projects))
    return show_result(target, {"user_id": user_id, "removed": True})


def log_in(target: Target, *, from_token: bool) -> Exit:
    """Keep a token of the server, for all commands from then on.

    Raises:
        click.UsageError: what was read is no token, or no user.
        AuthenticationError: the server does not know it.
    """
    name = target.profile or DEFAULT
    server = target.named_server or _known_server(name) or DEFAULT_SERVER
    if from_token:
        token = sys.stdin.readline().strip()
        if not token:
            message = "there is no token on stdin"
            raise click.UsageError(message)
    else:
        token = _log_in_by_password(server)
    found = ask(Target(server, token), JobsClient.validate_login)
    profile = Profile(server=server, token=token, user_id=found.user.username)
    save_profile(name, profile)
    return _show_oneself(target, server, name, found.user)


def log_out(target: Target) -> Exit:
    """Forget the token that is kept."""
    name = target.profile or DEFAULT
    was_known = name in load_profiles()
    if was_known:
        save_profile(name, None)
    if not was_known and not target.as_json:
        say("You were not logged in.")
    return show_result(target, {"profile": name, "was_logged_in": was_known})


def show_oneself(target: Target) -> Exit:
    """Print who one is to the server.

    Raises:
        AuthenticationError: nobody.
    """
    found = ask(target, JobsClient.validate_login)
    return _show_oneself(target, target.server, target.profile, found.user)


def _show_oneself(
    target: Target, server: str, profile: str | None, user: LoggedInDocument
) -> Exit:
    known = {"user_id": user.username, "role": user.role, "server": server, "profile": profile}
    return show_result(target, known, [escape(f"{user.username} ({user.role}) at {server}")])


def _known_server(name: str) -> str | None:
    known = load_profiles().get(name)
    return None if known is None else known.server


def _log_in_by_password(server: str) -> str:
    if sys.stdin.isatty():
        user: str = click.prompt("User", err=True)
        password: str = click.prompt("Password", hide_input=True, err=True)
    else:
        user, password = (sys.stdin.readline().rstrip("\r\n") for _ in range(2))
    return ask(Target(server), lambda client: client.log_in(user, password)).access_token


def _read_password(*, from_stdin: bool) -> str:
    """Return the password: never from an argument, which every process of the machine can see.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        message = "nobody can be asked for the password: give it with --password-stdin"
        raise click.UsageError(message)
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
