"""What ``user add``, ``user passwd``, ``user list`` and ``user remove`` do."""

import sys

import click

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import table
from cidx_jobs.client import JobsClient
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.tokens import UserDocument


def add_user(target: Target, user_id: str, *, scope: str, from_stdin: bool) -> Exit:
    """Make an account."""
    password = _read_password(from_stdin=from_stdin)

    async def create(client: JobsClient) -> UserDocument:
        return await client.create_user(user_id, password, scope=scope)

    made = administer(target, create, creates=True)
    if target.as_json:
        print_json(made)
    return Exit.DONE


def set_password(target: Target, user_id: str, *, from_stdin: bool) -> Exit:
    """Set another password."""
    password = _read_password(from_stdin=from_stdin)

    async def change(client: JobsClient) -> UserDocument:
        return await client.change_user(user_id, password=password)

    changed = administer(target, change)
    if target.as_json:
        print_json(changed)
    return Exit.DONE


def show_users(target: Target) -> Exit:
    """Print the accounts."""
    found = administer(target, JobsClient.list_users)
    if target.as_json:
        print_json(found)
    else:
        rows = [
            (escape(one.user_id), one.scope, f"{one.created_at:%Y-%m-%d %H:%M}")
            for one in found.users
        ]
        print_lines(table(("USER", "SCOPE", "CREATED"), rows, None))
    return Exit.DONE


def remove_user(target: Target, user_id: str, *, projects: bool) -> Exit:
    """Remove a user, with or without their projects."""

    async def remove(client: JobsClient) -> None:
        await client.remove_user(user_id, projects=projects)

    administer(target, remove)
    if target.as_json:
        print_json({"user_id": user_id, "removed": True})
    return Exit.DONE


def _read_password(*, from_stdin: bool) -> str:
    """Return the password: never from an argument, which every process of the machine can see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
