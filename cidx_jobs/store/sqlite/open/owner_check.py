"""Owner check: a directory that others may write, or that is another's, is not ours to serve.

Who may write it can put another database, token or index in the place of ours.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.runtime.log import get_logger
from cidx_jobs.settings import DataDirectory

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0

_log = get_logger("store")


def check_owner(directory: DataDirectory) -> None:
    """Look at the data directory and what decides over it, before anything is touched.

    Another owner is only warned of where the server runs as root: in a container it does, over a
    directory of somebody outside.

    Raises:
        StartRefusedError: others may write it, or it is another user's.
    """
    for path in _precious(directory):
        try:
            status = path.stat()
        except OSError:
            # It is not there yet, or cannot be used: whoever opens it says so.
            continue
        if status.st_mode & _OTHERS_MAY_WRITE:
            mode = stat.S_IMODE(status.st_mode)
            message = (
                f"{path} may be written by others (mode {mode:04o}), who could put anything in "
                "its place: look through it, then take these rights away (chmod go-w)"
            )
            raise StartRefusedError(message)
        if status.st_uid == os.geteuid():
            continue
        if os.geteuid() != _ROOT:
            message = f"{path} belongs to another user (uid {status.st_uid}), who decides over it"
            raise StartRefusedError(message)
        _log.warning("data_of_another_user", path=str(path), uid=status.st_uid)


def _precious(directory: DataDirectory) -> Iterator[Path]:
    yield directory.root
    yield directory.database
    yield directory.admin_token
    yield directory.login_key
    yield directory.secrets_key
    yield directory.git_credentials
