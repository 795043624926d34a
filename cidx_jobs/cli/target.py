"""The options --server, --json, --data-dir and --config, and what they say: the `Target`."""

import contextvars
import functools
import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import click

from cidx_jobs.cli.option_types import CONFIG, DATA_DIR, PROFILE

DEFAULT_SERVER = "http://127.0.0.1:8095"
SERVER_HELP = "Where the server is: http://HOST:PORT or unix:PATH; else CIDX_JOBS_SERVER."
JSON_HELP = "Print one JSON document on stdout."

Command = Callable[..., Any]

_shows_utc: ContextVar[bool] = ContextVar("shows_utc", default=False)
_command: ContextVar[click.Command | None] = ContextVar("command", default=None)
_profile: ContextVar[str | None] = ContextVar("profile", default=None)


class Target:
    """The server or the data directory that a command is for, and the form of its output.

    No attrs here: ``--help`` imports this module.
    """

    def __init__(
        self,
        server: str | None = None,
        token: str | None = None,
        *,
        as_json: bool = False,
        data_dir: Path | None = None,
        config: Path | None = None,
        profile: str | None = None,
    ) -> None:
        """Keep what options and environment name.

        Args:
            server: the server's address, if one was named.
            token: the bearer token for it.
            as_json: whether stdout gets one JSON document.
            data_dir: the server's data directory, if one was named.
            config: the server's settings, which name the directory else.
            profile: where somebody has logged in, by its name.
        """
        self.named_server = server
        self.named_token = token
        self.profile = profile
        self.as_json = as_json
        self.data_dir = data_dir
        self.config = config

    @property
    def server(self) -> str:
        """The address to speak to: that which was named, or where somebody has logged in."""
        if self.named_server is not None and self.profile is None:
            return self.named_server
        known = self._known
        return self.named_server or (known.server if known else DEFAULT_SERVER)

    @property
    def is_server_chosen(self) -> bool:
        """True where a server was named, or somebody has logged in at one."""
        return bool(self.named_server or self._known)

    @property
    def token(self) -> str | None:
        """The bearer token for it; one of a login goes to that server alone."""
        if self.named_token is not None:
            return self.named_token
        known = self._known
        is_there = known is not None and known.server.rstrip("/") == self.server.rstrip("/")
        return known.token if known is not None and is_there else None

    @functools.cached_property
    def _known(self) -> Any:
        # Only a command that asks a server needs it.
        from cidx_jobs.cli.profiles import load_profile

        return load_profile(self.profile)


def read_target(server: str | None, *, profile: str | None = None, as_json: bool) -> Target:
    """Return the target of options and environment; the token is that or a login's.

    A profile that is named wins over a server in the environment.
    """
    from_environment = None if profile else os.environ.get("CIDX_JOBS_SERVER")
    return Target(
        server or from_environment or None,
        os.environ.get("CIDX_JOBS_TOKEN") or None,
        as_json=as_json,
        profile=profile,
    )


def _join(before: Target, server: str | None, profile: str | None, *, as_json: bool) -> Target:
    """Return the target of options before and behind the command's name."""
    if profile is not None:
        before = read_target(None, profile=profile, as_json=before.as_json)
    return Target(
        server or before.named_server,
        before.named_token,
        as_json=as_json or before.as_json,
        profile=before.profile,
    )


def client_command(function: Command) -> Command:
    """Add --server and --json to a command that asks a server; it takes its `Target` first.

    Both may also stand before the command's name.
    """

    @click.option("--server", metavar="URL", help=SERVER_HELP)
    @PROFILE
    @click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
    @click.option("--utc", "in_utc", is_flag=True, help="Show times in UTC, not local ones.")
    @click.pass_obj
    @functools.wraps(function)
    def with_target(
        before: Target,
        /,
        *arguments: Any,
        server: str | None,
        profile: str | None,
        as_json: bool,
        in_utc: bool,
        **options: Any,
    ) -> Any:
        target = _join(before, server, profile, as_json=as_json)
        note_command(click.get_current_context().command, target.profile)
        _check_text([server, *arguments, *options.values()])
        call = functools.partial(function, target, *arguments, **options)
        # For this call alone: a process may run several commands.
        return contextvars.copy_context().run(_in_utc if in_utc else _as_it_is, call)

    return with_target


def note_command(command: click.Command | None, profile: str | None = None) -> None:
    """Keep which command runs, for those who tell of its errors; None before any does."""
    _command.set(command)
    _profile.set(profile)


def running_command() -> click.Command | None:
    """Return the command that runs, or ran last: errors name what was typed by its flags."""
    return _command.get()


def named_profile() -> str | None:
    """Return the profile that was named to the command that runs, or ran last."""
    return _profile.get()


def shows_utc() -> bool:
    """Tell whether the command that runs shows times in UTC, and not local ones."""
    return _shows_utc.get()


def _in_utc(call: Command) -> Any:
    _shows_utc.set(True)
    return call()


def _as_it_is(call: Command) -> Any:
    return call()


def admin_command(function: Command) -> Command:
    """Add --data-dir and --config to those of `client_command`; the `Target` holds them."""

    @DATA_DIR
    @CONFIG
    @client_command
    @functools.wraps(function)
    def with_directory(
        target: Target, *arguments: Any, data_dir: Path | None, config: Path | None, **options: Any
    ) -> Any:
        target.data_dir, target.config = data_dir, config
        return function(target, *arguments, **options)

    return with_directory


def local_command(function: Command) -> Command:
    """Add --json to a command that needs no server; it takes its `Target` first."""

    @PROFILE
    @click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
    @click.pass_obj
    @functools.wraps(function)
    def with_target(
        before: Target, /, *arguments: Any, profile: str | None, as_json: bool, **options: Any
    ) -> Any:
        target = _join(before, None, profile, as_json=as_json)
        note_command(click.get_current_context().command, target.profile)
        return function(target, *arguments, **options)

    return with_target


def _check_text(values: Iterable[Any]) -> None:
    # Bytes that are no UTF-8 come from the shell as lone surrogates; no request can carry them,
    # and a name with question marks in their place would be another's.
    for value in values:
        if isinstance(value, tuple):
            _check_text(value)
        elif isinstance(value, str) and any("\ud800" <= mark <= "\udfff" for mark in value):
            message = f"{value!r} is no text in UTF-8"
            raise click.UsageError(message)
