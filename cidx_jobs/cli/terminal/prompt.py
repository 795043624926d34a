"""A question on a terminal that Ctrl-C answers with no, whenever it comes."""

import os
import select
import signal
import sys

import click

from cidx_jobs.cli.signals import RaisingKeyboardInterrupt

_YES = frozenset({"y", "yes"})


def can_ask() -> bool:
    """Return whether somebody sits at a terminal who would see a question and could answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm_removal(question: str, *, is_sure: bool) -> bool:
    """Return whether to go on: *is_sure*, or whoever sits at the terminal says so.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if is_sure:
        return True
    if not can_ask():
        message = f"nobody can be asked: {question} Give --yes for that"
        raise click.UsageError(message)
    return confirms(question)


def confirms(question: str) -> bool:
    """Ask on stderr and read the answer from stdin; all but a yes is no, Ctrl-C too."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # `input` would miss a Ctrl-C that comes just before it begins to wait; what the signal
    # writes into this pipe is not missed.
    before = signal.set_wakeup_fd(writer)
    try:
        with RaisingKeyboardInterrupt():
            click.echo(f"{question} [y/N] ", nl=False, err=True)
            ready, _, _ = select.select([sys.stdin, reader], [], [])
            return reader not in ready and sys.stdin.readline().strip().lower() in _YES
    except KeyboardInterrupt:
        return False
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
