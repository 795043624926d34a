"""Tokens, at whoever owns the data directory: its server, or nobody and so this command."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cidx_jobs.cli.configuration import read_settings
from cidx_jobs.cli.exits import Exit
from cidx_jobs.cli.output import print_json, print_lines
from cidx_jobs.cli.running import ask, run_async
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.text import escape, table
from cidx_jobs.client import JobsClient, ServerBusyError
from cidx_jobs.engine.clock import SystemClock
from cidx_jobs.model.errors import AlreadyOwnedError, TokenNotFoundError
from cidx_jobs.model.ids import UserId
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.accounts import make_token
from cidx_jobs.store.persistence import JobPersistence
from cidx_jobs.wire.access import NewTokenDocument, TokenDocument, TokenListDocument

T = TypeVar("T")


def create(
    target: Target,
    data_dir: Path | None,
    config: Path | None,
    *,
    user: str,
    scope: str,
    label: str | None,
    lifetime_seconds: float | None,
) -> Exit:
    """Make a token and print its text, alone."""

    async def at_server(client: JobsClient) -> NewTokenDocument:
        return await client.create_token(
            user, scope, lifetime_seconds=lifetime_seconds, label=label
        )

    async def in_directory(store: JobPersistence) -> NewTokenDocument:
        text, token = make_token(
            UserId(user),
            scope,
            now=datetime.now(UTC),
            lifetime_seconds=lifetime_seconds,
            label=label,
        )
        await store.save_token(token)
        return NewTokenDocument.of(text, token)

    made = _at_owner(target, data_dir, config, at_server, in_directory)
    if target.as_json:
        print_json(made)
    else:
        print_lines([made.token])
    return Exit.DONE


def show(target: Target, data_dir: Path | None, config: Path | None) -> Exit:
    """List the tokens."""

    async def in_directory(store: JobPersistence) -> TokenListDocument:
        tokens = await store.list_tokens()
        return TokenListDocument(tokens=tuple(map(TokenDocument.of, tokens)))

    found = _at_owner(target, data_dir, config, JobsClient.list_tokens, in_directory)
    if target.as_json:
        print_json(found)
    else:
        head = ("TOKEN_ID", "USER", "SCOPE", "CREATED", "EXPIRES", "LAST USED", "LABEL")
        print_lines(table(head, _rows(found.tokens), None))
    return Exit.DONE


def revoke(target: Target, data_dir: Path | None, config: Path | None, token_id: str) -> Exit:
    """Revoke a token."""

    async def at_server(client: JobsClient) -> None:
        await client.revoke_token(token_id)

    async def in_directory(store: JobPersistence) -> None:
        if not await store.delete_token(token_id):
            raise TokenNotFoundError(token_id)

    _at_owner(target, data_dir, config, at_server, in_directory)
    if target.as_json:
        print_json({"token_id": token_id, "revoked": True})
    return Exit.DONE


def _at_owner(
    target: Target,
    data_dir: Path | None,
    config: Path | None,
    at_server: Callable[[JobsClient], Awaitable[T]],
    in_directory: Callable[[JobPersistence], Awaitable[T]],
) -> T:
    is_directory_named = data_dir is not None or config is not None
    if target.named_server and target.token and not is_directory_named:
        return ask(target, at_server)
    directory = DataDirectory(read_settings(config, data_dir=data_dir).data_dir)
    if target.named_server and not is_directory_named and not directory.root.exists():
        return ask(target, at_server)
    # To own the directory is the only proof that no server does; what is written in
    # server.json may be old, and its port somebody else's by now.
    try:
        return run_async(_with_store(directory, in_directory))
    except AlreadyOwnedError:
        return ask(_running_server(directory, as_json=target.as_json), at_server)


async def _with_store(
    directory: DataDirectory, work: Callable[[JobPersistence], Awaitable[T]]
) -> T:
    store = JobPersistence(directory, clock=SystemClock())
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()


def _running_server(directory: DataDirectory, *, as_json: bool) -> Target:
    try:
        url = json.loads(directory.server_file.read_text("utf-8"))["url"]
        token = directory.admin_token.read_text("utf-8").strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"a server owns {directory.root} and does not say where it is: {error}"
        raise ServerBusyError(message) from error
    return Target(str(url), token, as_json=as_json)


def _rows(tokens: Sequence[TokenDocument]) -> list[tuple[str, ...]]:
    return [
        (
            token.token_id,
            escape(token.user_id),
            token.scope,
            _day(token.created_at),
            _day(token.expires_at),
            _day(token.last_used_at),
            escape(token.label or ""),
        )
        for token in tokens
    ]


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"
