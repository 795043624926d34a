"""Standard input and output of the process: closed ones, odd encodings, a reader that is gone.

Imported before the command is known, so it imports nothing heavy.
"""

import os
import sys


def open_closed_streams() -> None:
    """Open the null device in place of each standard stream that is closed, as by ``>&-``.

    Python has None there, and the next file to be opened would take its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def show_any_text() -> None:
    """Write characters that the terminal's encoding lacks as escapes, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Send what is left in stdout's buffer nowhere, so that the last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
