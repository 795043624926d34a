"""Preflight: what a server with these settings would refuse to start for, without starting it.

The refusals are those of the start, in its order and by its own code; nothing is left behind.
"""

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence

import attrs

from cidx_jobs.engine.engine import find_unlimited
from cidx_jobs.engine.upkeep.disk import find_shortage
from cidx_jobs.engine.upkeep.retention import find_mistyped
from cidx_jobs.handlers.git.version import InstalledGit
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.model.errors import AlreadyOwnedError
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.observe.log_file import LogFile
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.sqlite.open.migrations import Migration, load_migrations
from cidx_jobs.store.sqlite.open.possession import check_possession
from cidx_jobs.system import JobSystem
from cidx_jobs.web.addresses import (
    bind_socket,
    is_left_behind,
    lies_in_new_directory,
    refuse_address,
    url_of_settings,
)
from cidx_jobs.web.app import create_app
from cidx_jobs.web.server import find_unusable, load_job_types, take_allowed_sockets
from cidx_jobs.web.server_files import read_server_url


async def check_start(settings: Settings) -> Sequence[ServerWarning]:
    """Check that a server would start; return what it would warn of.

    A server that owns the data directory already is no fault: it may be the one whose settings
    are checked, and its address is its own.

    Raises:
        SettingsError: the settings choose what is not there.
        StartRefusedError: the data directory cannot be served, or the address not be taken.
    """
    settings = attrs.evolve(settings, auth=settings.auth_mode)
    await in_own_thread(_check_log_file, settings)
    handed = take_allowed_sockets(settings, dict(os.environ))
    jobs = JobSystem(settings, load_job_types(settings.handlers))
    create_app(jobs)
    warnings = [*await in_own_thread(find_unusable, settings)]
    directory = DataDirectory(settings.data_dir)
    owner_url = None
    try:
        found = await in_own_thread(lambda: check_possession(directory, load_migrations()))
        warnings += _tell_upgrade(found.pending)
        known = {*jobs.job_types}
        for refusal in find_mistyped(settings.retention_by_type, known, found.job_types):
            raise refusal
    except AlreadyOwnedError as error:
        owner_url = await in_own_thread(read_server_url, directory)
        warnings.append(ServerWarning(code=error.code, message=error.message))
    warnings += _find_unlimited(jobs)
    if not handed and url_of_settings(settings) != owner_url:
        await _check_address(settings)
    return [*warnings, *await _find_shortcomings(settings)]


def _tell_upgrade(steps: Sequence[Migration]) -> Iterator[ServerWarning]:
    if steps:
        names = ", ".join(f"{step.number:04} {step.name}" for step in steps)
        message = (
            "the database is of an older version: a start backs it up and brings it up to date, "
            f"by {len(steps)} steps ({names})"
        )
        yield ServerWarning(code="upgrade_pending", message=message)


def _find_unlimited(jobs: JobSystem) -> Iterator[ServerWarning]:
    for refusal in find_unlimited(jobs.job_types, jobs.settings.limits):
        if jobs.settings.handlers is None:
            raise refusal
        yield ServerWarning(code="resource_missing", message=refusal.message)


async def _find_shortcomings(settings: Settings) -> Sequence[ServerWarning]:
    """Return what a server warns of once it runs (`JobSystem.find_warnings`)."""
    git = InstalledGit(Children("command-line")) if settings.repository_sync else None
    found = (
        None if git is None else await git.find_fault(),
        await in_own_thread(find_shortage, settings.data_dir, settings.min_free_bytes),
    )
    return [warning for warning in found if warning is not None]


def _check_log_file(settings: Settings) -> None:
    path = settings.log_file
    if path is None:
        return
    was_there = path.exists()
    LogFile(path).close()
    if not was_there:
        path.unlink(missing_ok=True)


async def _check_address(settings: Settings) -> None:
    """Check that the server can listen where its settings say, by doing so for a moment."""
    loop = asyncio.get_running_loop()
    path = settings.unix_socket
    try:
        if path is None:
            listener = await loop.create_server(
                asyncio.Protocol, settings.host, settings.port, start_serving=False
            )
            listener.close()
            await listener.wait_closed()
        elif not await is_left_behind(path):
            bind_socket(path).close()
            await in_own_thread(path.unlink)
    except OSError as error:
        # A start makes the directory first.
        if error.errno == errno.ENOENT and await in_own_thread(lies_in_new_directory, settings):
            return
        raise refuse_address(settings, error) from error
