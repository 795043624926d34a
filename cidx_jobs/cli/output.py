"""What commands print: documents and reports on stdout, everything else on stderr."""

import sys
from collections.abc import Iterable
from typing import Any

import click

from cidx_jobs.cli.text import escape
from cidx_jobs.wire.coding import encode


def print_json(document: Any) -> None:
    """Print *document* as the one JSON document of the command."""
    print_lines([encode(document).decode()])


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout; what they hold of a server's text is escaped already."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the user something that is no result, on stderr."""
    click.echo(escape(text), err=True)
