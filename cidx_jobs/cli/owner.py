"""Which server is administered, and with whose token: the one that is named, or the directory's.

A server writes where it is and the token of its administrator into its data directory; whoever
can read those files may administer it.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from cidx_jobs.cli.actions.settings import read_settings
from cidx_jobs.cli.async_run import ask
from cidx_jobs.cli.target import Target
from cidx_jobs.client import (
    AuthenticationError,
    JobsClient,
    PermissionDeniedError,
    ServerBusyError,
)
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import DataDirectory

T = TypeVar("T")


def named_server(target: Target, data_dir: Path | None, config: Path | None) -> Target | None:
    """Give the server that was named, or None when it is the directory that counts.

    A directory that is named counts more than a server that is. Without a token of the user's
    own, a server that the directory belongs to is asked with the directory's.
    """
    if target.named_server is None or data_dir is not None or config is not None:
        return None
    if target.token is not None:
        return target
    try:
        own = running_server(find_directory(None, None), as_json=target.as_json)
    except (ServerBusyError, SettingsError):
        return target
    return own if own.server == target.server.rstrip("/") else target


def find_directory(data_dir: Path | None, config: Path | None) -> DataDirectory:
    """Give the data directory that flags, environment and file name.

    Raises:
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    return DataDirectory(read_settings(config, data_dir=data_dir).data_dir)


def ask_owner(
    directory: DataDirectory, work: Callable[[JobsClient], Awaitable[T]], *, as_json: bool
) -> T:
    """Let the server that owns the directory do the work.

    Raises:
        ServerBusyError: it does not say where it is.
        AuthenticationError: it does not know the directory's token; the text says what to do.
        JobsClientError: what else it refuses, or that it cannot be reached.
    """
    try:
        return ask(running_server(directory, as_json=as_json), work)
    except PermissionDeniedError:
        raise
    except AuthenticationError as error:
        # The advice to make a token would lead here again.
        message = (
            f"the server does not know the token in {directory.admin_token}: remove that file, "
            "and start the server again"
        )
        raise AuthenticationError(message, code="admin_token_unknown", status=401) from error


def running_server(directory: DataDirectory, *, as_json: bool) -> Target:
    """Give the server that owns the directory, as it says where it is.

    Raises:
        ServerBusyError: it does not say.
    """
    try:
        url = json.loads(directory.server_file.read_text("utf-8"))["url"]
        token = directory.admin_token.read_text("utf-8").strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"a server owns {directory.root} and does not say where it is: {error}"
        raise ServerBusyError(message) from error
    return Target(str(url), token, as_json=as_json)
