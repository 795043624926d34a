"""Paths of unix sockets: longer than the system takes, they are named by an open directory."""

import os
import re
from pathlib import Path

MAX_BYTES = 107
"""What a socket's address has room for (unix(7)), less the zero behind it."""

_BY_DIRECTORY = re.compile(r"/proc/self/fd/[0-9]+/")


def open_short_path(path: Path) -> tuple[str, int | None]:
    """Return a name of the path that fits, and the descriptor that it needs open, if any.

    Raises:
        OSError: the name has to go by the directory, and that cannot be opened.
    """
    whole = str(path.absolute())
    if len(os.fsencode(whole)) <= MAX_BYTES:
        return whole, None
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{path.name}", descriptor


def is_name_of(name: object, path: Path) -> bool:
    """Return whether a socket's address is one that `open_short_path` gave for the path."""
    if not isinstance(name, str):
        return False
    whole = str(path.absolute())
    if len(os.fsencode(whole)) <= MAX_BYTES:
        return name == whole
    by_directory = _BY_DIRECTORY.match(name)
    return by_directory is not None and name[by_directory.end() :] == path.name
