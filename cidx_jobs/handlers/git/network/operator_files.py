"""Files that the operator names for git: read anew by each run, and held against tampering.

What is secret is refused where others may read it, and everything where others may change it:
who can put another file in its place decides whom the server believes, and as whom it speaks.
"""

import os
import stat
from pathlib import Path

from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.settings import Settings

UNUSABLE = "CFG-006"
SECRETS = frozenset({"git_credentials", "git_ssh_key"})
"""The settings whose files nobody else may even read."""
_SETTINGS = ("git_ca_file", "git_credentials", "git_ssh_key", "git_ssh_known_hosts")
_OTHERS_MAY_USE = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_MAY_CHANGE = stat.S_IWGRP | stat.S_IWOTH
_MOST_BYTES = 4 * 1024 * 1024


def find_unusable_files(settings: Settings) -> list[ServerWarning]:
    """Return what the settings name for git and cannot be used, and why; it blocks."""
    found = []
    for name in _SETTINGS:
        path = getattr(settings, name)
        fault = None if path is None else find_fault(path, is_secret=name in SECRETS)
        if fault is not None:
            message = f"the file of the setting {name} {fault}"
            found.append(ServerWarning(code="git_file_unusable", message=message))
    for root in settings.git_local_roots:
        if not root.is_dir():
            message = f"git_local_roots: there is no directory {root}"
            found.append(ServerWarning(code="git_root_missing", message=message))
        elif not os.access(root, os.R_OK | os.X_OK):
            message = f"git_local_roots: the server may not read {root}"
            found.append(ServerWarning(code="git_root_missing", message=message))
    return found


def check_file(setting: str, path: Path) -> None:
    """Check that the file of a setting can be used; it blocks. The message tells no path.

    Raises:
        JobFailure: it cannot be used (CFG-006).
    """
    fault = find_fault(path, is_secret=setting in SECRETS)
    if fault is not None:
        message = f"the file of the setting {setting} {fault}"
        raise JobFailure(message, code=UNUSABLE)


def find_fault(path: Path, *, is_secret: bool) -> str | None:
    """Return why a file of the operator cannot be used, if it cannot; it blocks."""
    try:
        status = path.stat()
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        return "is not there"
    except OSError:
        return "cannot be read by the server"
    if not stat.S_ISREG(status.st_mode):
        return "is no file"
    if status.st_size > _MOST_BYTES:
        return f"has more than {_MOST_BYTES} bytes"
    if is_secret and status.st_mode & _OTHERS_MAY_USE:
        return "may be read by others: take these rights away (chmod 600)"
    if status.st_mode & _OTHERS_MAY_CHANGE:
        return "may be changed by others: take these rights away (chmod go-w)"
    return None
