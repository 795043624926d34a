"""The commands on access, settings and the command line itself."""

from pathlib import Path

import click

from cidx_jobs.cli.option_types import Place
from cidx_jobs.cli.target import Target, speaks_json, talks

DATA_DIR = click.option(
    "--data-dir",
    metavar="D",
    type=Place(),
    help="The server's data directory; else CIDX_JOBS_DATA_DIR, else ./data.",
)
CONFIG = click.option(
    "--config",
    metavar="FILE.toml",
    type=Place(),
    help="The server's settings.",
)


@click.group()
def token() -> None:
    """Say who may come in.

    Speaks to the server that owns the data directory; where none does, it opens the directory
    itself. With --server it speaks to that one, with CIDX_JOBS_TOKEN.
    """


@token.command("create")
@click.argument("user")
@click.option(
    "--scope", type=click.Choice(["read", "write", "admin"]), default="write", show_default=True
)
@click.option("--label", help="What it is for.")
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Good for so long; else until it is revoked.",
)
@DATA_DIR
@CONFIG
@talks
def create_token(
    target: Target,
    *,
    user: str,
    scope: str,
    label: str | None,
    expires_in: float | None,
    data_dir: Path | None,
    config: Path | None,
) -> int:
    """Make a token for USER; print it alone: it is shown this once."""
    from cidx_jobs.cli.actions.tokens import create

    return create(
        target, data_dir, config, user=user, scope=scope, label=label, lifetime_seconds=expires_in
    )


@token.command("list")
@DATA_DIR
@CONFIG
@talks
def list_tokens(target: Target, data_dir: Path | None, config: Path | None) -> int:
    """List the tokens, without their texts."""
    from cidx_jobs.cli.actions.tokens import show

    return show(target, data_dir, config)


@token.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@DATA_DIR
@CONFIG
@talks
def revoke_token(target: Target, token_id: str, data_dir: Path | None, config: Path | None) -> int:
    """Revoke a token at once."""
    from cidx_jobs.cli.actions.tokens import revoke

    return revoke(target, data_dir, config, token_id)


@click.command()
@DATA_DIR
@CONFIG
@speaks_json
def check(target: Target, data_dir: Path | None, config: Path | None) -> int:
    """Check the settings of a server, and show them."""
    from cidx_jobs.cli.actions.settings import show_settings

    return show_settings(target, data_dir, config)


@click.command()
@speaks_json
def version(target: Target) -> int:
    """Show the version."""
    import platform

    from cidx_jobs import __version__

    if target.as_json:
        import json

        click.echo(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"cidx-jobs {__version__}")
    return 0


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@speaks_json
def completion(target: Target, shell: str) -> int:
    """Print what makes SHELL complete our commands.

    For bash: eval "$(cidx-jobs completion bash)" in ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        message = f"there is no completion for {shell}"
        raise click.UsageError(message)
    root = click.get_current_context().find_root().command
    script = found(root, {}, "cidx-jobs", "_CIDX_JOBS_COMPLETE").source()
    if target.as_json:
        import json

        click.echo(json.dumps({"shell": shell, "script": script}))
    else:
        click.echo(script)
    return 0


COMMANDS = (token, check, version, completion)
