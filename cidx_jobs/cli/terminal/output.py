"""Output of commands: documents and reports on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.wire.encode import encode

_COLOURS = {
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
}


def print_json(document: Any) -> None:
    """Print *document* as the one JSON document of the command."""
    print_lines([encode(document).decode()])


def show_result(target: Target, document: Any, lines: Iterable[str] = ()) -> Exit:
    """Print what a command has come to: *document* with --json, else *lines*; return success."""
    if target.as_json:
        print_json(document)
    else:
        print_lines(lines)
    return Exit.DONE


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout; what they hold of a server's text is escaped already."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tint(status: JobStatus) -> str:
    """Return the status in its colour, where stdout is a terminal that has some.

    NO_COLOR, set to anything, keeps it plain (no-color.org).
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    if plain or not sys.stdout.isatty():
        return str(status)
    return click.style(str(status), fg=_COLOURS.get(status))


def say(text: str) -> None:
    """Tell the user something that is no result, on stderr."""
    click.echo(escape(text), err=True)
