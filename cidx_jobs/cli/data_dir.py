"""Administration of a data directory: by the server that owns it, or by the command itself.

A server writes where it is and the token of its administrator into its data directory; whoever
can read those files may administer it. A directory that no server owns is served by the command,
to itself alone and for as long as it runs. So each request of an administrator is written once,
as a call of the API.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from cidx_jobs.cli.async_run import ask, run_async
from cidx_jobs.cli.target import Target
from cidx_jobs.client import (
    AuthenticationError,
    JobsClient,
    PermissionDeniedError,
    ServerBusyError,
)
from cidx_jobs.model.errors import AlreadyOwnedError, SettingsError, StartRefusedError
from cidx_jobs.runtime.socket_paths import open_short_path
from cidx_jobs.settings import DataDirectory, Settings

T = TypeVar("T")
Work = Callable[[JobsClient], Awaitable[T]]


def administer(target: Target, work: Work[T], *, creates: bool = False) -> T:
    """Do *work* with a client of the server that is named or owns the directory.

    Where no server owns it, the command serves it meanwhile; no job is started by that.

    Args:
        target: what was named of server and directory.
        work: what is asked of the server.
        creates: whether a directory that no server has used yet is made.

    Raises:
        JobsClientError: the server refuses, or cannot be reached.
        StartRefusedError: the directory cannot be opened, or there is none.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """

    def in_directory(settings: Settings) -> T:
        directory = DataDirectory(settings.data_dir)
        if not creates and not directory.database.exists():
            message = (
                f"there is no database in {directory.root}: name its directory with --data-dir"
            )
            raise StartRefusedError(message)
        return run_async(_serve_meanwhile(settings, work))

    return ask_owner(target, work, in_directory)


def ask_owner(target: Target, work: Work[T], without_server: Callable[[Settings], T]) -> T:
    """Do *work* at the server that is named or owns the directory, else *without_server*.

    Args:
        target: what was named of server and directory.
        work: what is asked of a server.
        without_server: does it in a directory that no server owns; gets the settings, and
            raises `AlreadyOwnedError` where one does.

    Raises:
        JobsClientError: the server refuses, or cannot be reached.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    named = _named_server(target)
    if named is not None:
        return ask(named, work)
    settings = Settings.load(target.config, overrides={"data_dir": target.data_dir})
    # To own the directory is the only proof that no server does; what is written in
    # server.json may be old, and its port somebody else's by now.
    try:
        return without_server(settings)
    except AlreadyOwnedError:
        return _ask_running(DataDirectory(settings.data_dir), work, as_json=target.as_json)


def _named_server(target: Target) -> Target | None:
    """Return the server that was named, or None when it is the directory that counts.

    A directory that is named counts more than a server that is. Without a token of the user's
    own, a server that the directory belongs to is asked with the directory's.
    """
    has_directory = target.data_dir is not None or target.config is not None
    if has_directory:
        return None
    if target.profile is not None or (target.named_token is not None and target.named_server):
        return target
    if target.named_server is None:
        return target if _is_logged_in_elsewhere(target) else None
    try:
        directory = DataDirectory(Settings.load().data_dir)
        own = _running_server(directory, as_json=target.as_json)
        url = json.loads(directory.server_file.read_text("utf-8"))["url"]
    except (ServerBusyError, SettingsError, OSError, ValueError):
        return target
    return own if url == target.server.rstrip("/") else target


def _is_logged_in_elsewhere(target: Target) -> bool:
    """Tell whether a login counts, since there is no directory here that could be meant."""
    try:
        has_directory = DataDirectory(Settings.load().data_dir).database.exists()
    except SettingsError:
        return False
    return target.token is not None and not has_directory


def _ask_running(directory: DataDirectory, work: Work[T], *, as_json: bool) -> T:
    try:
        return ask(_running_server(directory, as_json=as_json), work)
    except PermissionDeniedError:
        raise
    except AuthenticationError as error:
        # The advice to make a token would lead here again.
        message = (
            f"the server does not know the token in {directory.admin_token}: remove that file, "
            "and start the server again"
        )
        raise AuthenticationError(message, code="admin_token_unknown", status=401) from error


def _running_server(directory: DataDirectory, *, as_json: bool) -> Target:
    """Return the server that owns the directory, by what it wrote there.

    Raises:
        ServerBusyError: it wrote nothing yet, or nothing that can be read.
    """
    try:
        url = str(json.loads(directory.server_file.read_text("utf-8"))["url"])
        token = directory.admin_token.read_text("utf-8").strip()
        if directory.server_socket.exists():
            # There the token is good whatever the server's way in is. What keeps a directory open
            # for a path that is too long does so as long as the command runs.
            name, _ = open_short_path(directory.server_socket)
            url = f"unix:{name}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"a server owns {directory.root} and does not say where it is: {error}"
        raise ServerBusyError(message) from error
    return Target(url, token, as_json=as_json)


async def _serve_meanwhile(settings: Settings, work: Work[T]) -> T:
    # Imported here, so that a command at a server does not load one.
    from aiohttp import web

    from cidx_jobs.interfaces.access import Identity
    from cidx_jobs.observe.logs import setup_logging
    from cidx_jobs.system import JobSystem
    from cidx_jobs.web.app import create_app
    from cidx_jobs.web.server import listening

    # A socket's file would let in nobody else either, but its path has room for a hundred
    # characters only, and a killed command would leave it behind.
    token = secrets.token_urlsafe()
    ours = f"Bearer {token}".encode()

    async def admit(request: web.Request) -> Identity | None:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, ours):
            return None
        return Identity(user_id="admin", scopes=frozenset({"admin"}))

    # What goes wrong in a server is told in its log; what goes well, nobody asked for here.
    setup_logging(attrs.evolve(settings, log_level="warning", log_file=None))
    jobs = JobSystem(settings, runs_jobs=False)
    app = create_app(jobs, authenticate=admit)
    async with (
        jobs,
        listening(app, host="127.0.0.1", port=0) as url,
        JobsClient(url, token, retries=0) as client,
    ):
        return await work(client)
