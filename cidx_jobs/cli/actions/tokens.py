"""What ``token create``, ``token list`` and ``token revoke`` do."""

from collections.abc import Sequence
from datetime import datetime

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import print_json, print_lines
from cidx_jobs.cli.terminal.text import moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.engine.operator_rules import check_token
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.tokens import NewTokenDocument, TokenDocument


def create_token(
    target: Target, *, user: str, scope: str, label: str | None, lifetime_seconds: float | None
) -> Exit:
    """Make a token and print its text, alone.

    Raises:
        ValidationError: a member is out of its range.
    """
    # Before anybody is asked: no directory is made for a token that is refused, and a number
    # without bound has no form in a request.
    check_token(user, scope, lifetime_seconds=lifetime_seconds, label=label)

    async def create(client: JobsClient) -> NewTokenDocument:
        return await client.create_token(
            user, scope, lifetime_seconds=lifetime_seconds, label=label
        )

    created = administer(target, create, creates=True)
    if target.as_json:
        print_json(created)
    else:
        print_lines([created.token])
    return Exit.DONE


def show_tokens(target: Target) -> Exit:
    """Print the tokens, without their texts."""
    found = administer(target, JobsClient.list_tokens)
    if target.as_json:
        print_json(found)
    else:
        head = ("TOKEN_ID", "USER", "SCOPE", "CREATED", "EXPIRES", "LAST USED", "LABEL")
        print_lines(table(head, _rows(found.tokens), None))
    return Exit.DONE


def revoke_token(target: Target, token_id: str) -> Exit:
    """Revoke a token."""

    async def revoke(client: JobsClient) -> None:
        await client.revoke_token(token_id)

    administer(target, revoke)
    if target.as_json:
        print_json({"token_id": token_id, "revoked": True})
    return Exit.DONE


def revoke_tokens(target: Target, user: str) -> Exit:
    """Revoke all tokens of a user."""

    async def revoke(client: JobsClient) -> None:
        await client.revoke_tokens(user)

    administer(target, revoke)
    if target.as_json:
        print_json({"user_id": user, "revoked": True})
    return Exit.DONE


def _rows(tokens: Sequence[TokenDocument]) -> list[tuple[str, ...]]:
    return [
        (
            token.token_id,
            escape(token.user_id),
            token.scope,
            _shown(token.created_at),
            _shown(token.expires_at),
            _shown(token.last_used_at),
            escape(token.label or ""),
        )
        for token in tokens
    ]


def _shown(at: datetime | None) -> str:
    return "-" if at is None else moment(at)
