"""Work for a data directory: the server that owns it does it, or this command where none does."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from cidx_jobs.cli.async_run import ask, run_async
from cidx_jobs.cli.owner import ask_owner, find_directory, named_server
from cidx_jobs.cli.target import Target
from cidx_jobs.client import JobsClient
from cidx_jobs.engine.clock import SystemClock
from cidx_jobs.model.errors import AlreadyOwnedError, StartRefusedError
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.sqlite.persistence import JobPersistence

T = TypeVar("T")


def at_owner(
    target: Target,
    data_dir: Path | None,
    config: Path | None,
    at_server: Callable[[JobsClient], Awaitable[T]],
    in_directory: Callable[[JobPersistence], Awaitable[T]],
    *,
    makes_it: bool = False,
) -> T:
    """Let the server that is named or owns the directory do it; else open the directory.

    Args:
        target: what was said of the server.
        data_dir: the directory, if it was named.
        config: the server's settings, which name it else.
        at_server: the work, done by the server.
        in_directory: the same work on what the directory holds.
        makes_it: whether a directory that no server has used yet is made.

    Raises:
        JobsClientError: what the server refuses, or that it cannot be reached.
        StartRefusedError: the directory cannot be opened.
        SettingsError: the file cannot be read, or a name or value is wrong; the text names it.
    """
    named = named_server(target, data_dir, config)
    if named is not None:
        return ask(named, at_server)
    directory = find_directory(data_dir, config)
    if not makes_it and not directory.database.exists():
        message = f"there is no database in {directory.root}: name its directory with --data-dir"
        raise StartRefusedError(message)
    # To own the directory is the only proof that no server does; what is written in
    # server.json may be old, and its port somebody else's by now.
    try:
        return run_async(_with_store(directory, in_directory))
    except AlreadyOwnedError:
        return ask_owner(directory, at_server, as_json=target.as_json)


async def _with_store(
    directory: DataDirectory, work: Callable[[JobPersistence], Awaitable[T]]
) -> T:
    store = JobPersistence(directory, clock=SystemClock())
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()
