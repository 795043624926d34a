"""``token create``, ``token list`` and ``token revoke``."""

import click

from cidx_jobs.cli.option_types import AnyDuration, examples
from cidx_jobs.cli.target import Target, admin_command


@click.group(epilog=examples("cidx-jobs token create alice"))
def token() -> None:
    """Say who may come in.

    Speaks to the server that owns the data directory; where none does, it opens the directory
    itself. With --server it speaks to that one, with CIDX_JOBS_TOKEN.
    """


@token.command(
    "create",
    epilog=examples(
        "cidx-jobs token create alice --label laptop --expires-in 90d",
        "cidx-jobs token create carol --scope audit",
    ),
)
@click.argument("user")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "audit", "admin"]),
    default="write",
    show_default=True,
)
@click.option("--label", help="What it is for.")
@click.option(
    "--expires-in",
    metavar="DURATION",
    type=AnyDuration(min=0, min_open=True),
    help="Good for so long; else until it is revoked.",
)
@admin_command
def create(
    target: Target,
    *,
    user: str,
    scope: str,
    label: str | None,
    expires_in: float | None,
) -> int:
    """Make a token for USER; print it alone: it is shown this once."""
    from cidx_jobs.cli.actions.tokens import create_token

    return create_token(target, user=user, scope=scope, label=label, lifetime_seconds=expires_in)


@token.command("list", epilog=examples("cidx-jobs token list"))
@admin_command
def list_(target: Target) -> int:
    """List the tokens, without their texts."""
    from cidx_jobs.cli.actions.tokens import show_tokens

    return show_tokens(target)


@token.command(
    "revoke",
    epilog=examples(
        "cidx-jobs token revoke 9f2c4e6a8b0d1f3e",
        "cidx-jobs token revoke --user bob",
    ),
)
@click.argument("token_id", metavar="[TOKEN_ID]", required=False)
@click.option("--user", help="All tokens of this user.")
@admin_command
def revoke(target: Target, token_id: str | None, user: str | None) -> int:
    """Revoke a token, or all of a user, at once."""
    from cidx_jobs.cli.actions.tokens import revoke_token, revoke_tokens

    if (token_id is None) == (user is None):
        message = "name either a token, or a user with --user"
        raise click.UsageError(message)
    if user is not None:
        return revoke_tokens(target, user)
    return revoke_token(target, token_id or "")


COMMANDS = (token,)
