"""``admin``: the commands of an operator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cidx_jobs.cli.commands.tokens_and_settings import CONFIG, DATA_DIR
from cidx_jobs.cli.option_types import Seconds
from cidx_jobs.cli.target import Target, talks


@click.group()
def admin() -> None:
    """Operate a server.

    Speaks to the server that owns the data directory, with the token that it keeps there; where
    none does, it opens the directory itself. With --server it speaks to that one, with
    CIDX_JOBS_TOKEN.
    """


@admin.command()
@DATA_DIR
@CONFIG
@talks
def stats(target: Target, data_dir: Path | None, config: Path | None) -> int:
    """Show counts, waits, slots and sizes."""
    from cidx_jobs.cli.actions.admin import show_stats

    return show_stats(target, data_dir, config)


@admin.command()
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=N", help="A limit, or resources.NAME."
)
@DATA_DIR
@CONFIG
@talks
def limits(
    target: Target, changes: tuple[str, ...], data_dir: Path | None, config: Path | None
) -> int:
    """Show the limits, or put others in force."""
    from cidx_jobs.cli.actions.admin import show_limits

    return show_limits(target, data_dir, config, changes)


def _about(function: Callable[..., Any]) -> Callable[..., Any]:
    user = click.option("--user", help="Only the jobs of this user.")
    job_type = click.option("--type", "job_type", help="Only the jobs of this type.")
    return user(job_type(function))


@admin.command()
@_about
@DATA_DIR
@CONFIG
@talks
def pause(target: Target, data_dir: Path | None, config: Path | None, **about: Any) -> int:
    """Keep jobs from starting; what runs goes on."""
    from cidx_jobs.cli.actions.admin import set_pause

    return set_pause(target, data_dir, config, is_paused=True, **about)


@admin.command()
@_about
@DATA_DIR
@CONFIG
@talks
def resume(target: Target, data_dir: Path | None, config: Path | None, **about: Any) -> int:
    """Let jobs start again."""
    from cidx_jobs.cli.actions.admin import set_pause

    return set_pause(target, data_dir, config, is_paused=False, **about)


@admin.command()
@click.option("--off", is_flag=True, help="Take new jobs again.")
@DATA_DIR
@CONFIG
@talks
def drain(target: Target, data_dir: Path | None, config: Path | None, *, off: bool) -> int:
    """Refuse new jobs, start none, and finish what runs."""
    from cidx_jobs.cli.actions.admin import set_drain

    return set_drain(target, data_dir, config, is_draining=not off)


@admin.command()
@click.option(
    "--older-than",
    type=Seconds(min=0),
    required=True,
    metavar="SECONDS",
    help="How long ago they finished, at least.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(["completed", "failed", "cancelled"]),
    help="Only these; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Count them, and delete none.")
@DATA_DIR
@CONFIG
@talks
def cleanup(target: Target, data_dir: Path | None, config: Path | None, **which: Any) -> int:
    """Delete finished jobs, with their events."""
    from cidx_jobs.cli.actions.admin import clean_up

    return clean_up(target, data_dir, config, **which)


COMMANDS = (admin,)
