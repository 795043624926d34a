"""What every command that talks to a server is told: which one, as whom, and in which form."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

import click

from cidx_jobs.cli.light_imports import load_lightly

DEFAULT_SERVER = "http://127.0.0.1:8095"


class Target:
    """The server that is meant, and the form of the output."""

    def __init__(
        self, server: str | None = None, token: str | None = None, *, as_json: bool = False
    ) -> None:
        """Take what was said before the command's name."""
        self.named_server = server
        self.token = token
        self.as_json = as_json

    @property
    def server(self) -> str:
        """The address to speak to."""
        return self.named_server or DEFAULT_SERVER


def read_target(server: str | None, *, as_json: bool) -> Target:
    """Give the target that options and environment name; the token comes from nowhere else."""
    return Target(
        server or os.environ.get("CIDX_JOBS_SERVER") or None,
        os.environ.get("CIDX_JOBS_TOKEN") or None,
        as_json=as_json,
    )


SERVER_HELP = "Where the server is: http://HOST:PORT or unix:PATH; else CIDX_JOBS_SERVER."
JSON_HELP = "Print one JSON document on stdout."


def talks(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --server and --json; it takes its `Target` as first argument.

    Both may also stand before the command's name.
    """

    @click.option("--server", metavar="URL", help=SERVER_HELP)
    @click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
    @click.pass_obj
    @functools.wraps(function)
    def with_target(
        before: Target, /, *arguments: Any, server: str | None, as_json: bool, **options: Any
    ) -> Any:
        target = Target(
            server or before.named_server, before.token, as_json=as_json or before.as_json
        )
        _refuse_what_is_no_text([server, *arguments, *options.values()])
        load_lightly()
        return function(target, *arguments, **options)

    return with_target


def _refuse_what_is_no_text(values: Iterable[Any]) -> None:
    # Bytes that are no UTF-8 come from the shell as lone surrogates; no request can carry them,
    # and a name with question marks in their place would be another's.
    for value in values:
        if isinstance(value, tuple):
            _refuse_what_is_no_text(value)
        elif isinstance(value, str) and any("\ud800" <= mark <= "\udfff" for mark in value):
            message = f"{value!r} is no text in UTF-8"
            raise click.UsageError(message)


def speaks_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that needs no server --json; it takes its `Target` as first argument."""

    @click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
    @click.pass_obj
    @functools.wraps(function)
    def with_target(before: Target, /, *arguments: Any, as_json: bool, **options: Any) -> Any:
        target = Target(before.named_server, before.token, as_json=as_json or before.as_json)
        return function(target, *arguments, **options)

    return with_target
