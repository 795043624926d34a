"""What ``token create``, ``token list`` and ``token revoke`` do."""

from collections.abc import Sequence
from datetime import datetime

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.cli.terminal.text import moment, table
from cidx_jobs.client import JobsClient
from cidx_jobs.engine.operator_rules import check_token
from cidx_jobs.model.foreign import escape
from cidx_jobs.wire.tokens import TokenDocument


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
    created = administer(
        target,
        lambda client: client.create_token(
            user, scope, lifetime_seconds=lifetime_seconds, label=label
        ),
        creates=True,
    )
    return show_result(target, created, [created.token])


def show_tokens(target: Target) -> Exit:
    """Print the tokens, without their texts."""
    found = administer(target, JobsClient.list_tokens)
    head = ("TOKEN_ID", "USER", "SCOPE", "CREATED", "EXPIRES", "LAST USED", "LABEL")
    return show_result(target, found, table(head, _rows(found.tokens), None))


def revoke_token(target: Target, token_id: str) -> Exit:
    """Revoke a token."""
    administer(target, lambda client: client.revoke_token(token_id))
    return show_result(target, {"token_id": token_id, "revoked": True})


def revoke_tokens(target: Target, user: str) -> Exit:
    """Revoke all tokens of a user."""
    administer(target, lambda client: client.revoke_tokens(user))
    return show_result(target, {"user_id": user, "revoked": True})


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
