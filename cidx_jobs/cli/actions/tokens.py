"""Tokens, at whoever owns the data directory: its server, or nobody and so this command."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cidx_jobs.cli.at_owner import at_owner
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import escape, table
from cidx_jobs.client import JobsClient
from cidx_jobs.engine.operator_rules import check_token
from cidx_jobs.model.errors import TokenNotFoundError
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.sqlite.persistence import JobPersistence
from cidx_jobs.store.tokens import make_token
from cidx_jobs.wire.tokens import NewTokenDocument, TokenDocument, TokenListDocument


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
    """Make a token and print its text, alone.

    Raises:
        ValidationError: a member is out of its range.
    """
    # Before anybody is asked: a number without bound has no form in a request.
    check_token(user, scope, lifetime_seconds=lifetime_seconds, label=label)

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

    made = at_owner(target, data_dir, config, at_server, in_directory, makes_it=True)
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

    found = at_owner(target, data_dir, config, JobsClient.list_tokens, in_directory)
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

    at_owner(target, data_dir, config, at_server, in_directory)
    if target.as_json:
        print_json({"token_id": token_id, "revoked": True})
    return Exit.DONE


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
