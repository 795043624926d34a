"""What ``restore`` and ``import-cidx`` do: what was elsewhere comes into a data directory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import attrs
import click

from cidx_jobs.cli.data_dir import administer
from cidx_jobs.cli.error_report import text_of_error
from cidx_jobs.cli.exit_codes import Exit
from cidx_jobs.cli.target import Target
from cidx_jobs.cli.terminal.output import show_result
from cidx_jobs.cli.terminal.text import table
from cidx_jobs.client import ConflictError, JobsClient, RequestRefusedError
from cidx_jobs.model.errors import StartRefusedError
from cidx_jobs.model.foreign import escape
from cidx_jobs.model.listing import EVERYBODY
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store.cidx_server import CidxJob, CidxServer, read_cidx_server
from cidx_jobs.store.sqlite.restore import restore


def restore_backup(
    target: Target, file: Path, data_dir: Path, *, replace: bool, hold: bool
) -> Exit:
    """Put a backup in place, and say what was done.

    Raises:
        StartRefusedError: it is cut or damaged, or the directory is not one for it.
    """
    directory = DataDirectory(data_dir.absolute())
    now = datetime.now(UTC)
    done = restore(file.absolute(), directory, replace=replace, now=now, hold=hold)
    kept = None if done.replaced is None else str(done.replaced)
    document = {
        "data_dir": str(directory.root),
        "bytes": done.bytes,
        "seq": done.sequence,
        "database_id": done.database_id,
        "replaced": kept,
        "held": done.held,
    }
    lines = [f"restored {done.bytes:,} bytes, up to row {done.sequence} of the log"]
    if kept is not None:
        lines.append(f"the database that was there is kept: {escape(kept)}")
    if hold:
        jobs = f"{done.held:,} unfinished {'job' if done.held == 1 else 'jobs'}"
        place = escape(str(data_dir))
        lines.append(f"held {jobs}: cidx-jobs start ID, or start --all, lets them go")
        lines.append("schedules and polls submit new jobs as ever; so that none of these starts:")
        lines.append(f"  cidx-jobs admin pause --data-dir {place}")
    return show_result(target, document, lines)


def import_cidx(target: Target, database: Path, *, is_dry: bool) -> Exit:
    """Make accounts, projects and jobs of what a CIDX server has; say of each what became of it.

    What is there already is left as it is, so that it may be done again.

    Raises:
        click.UsageError: it is no database of a CIDX server, or cannot be read.
    """
    try:
        there = read_cidx_server(database)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        message = f"{database} cannot be read: {error.strerror or error}"
        raise click.UsageError(message) from error

    async def bring_in(client: JobsClient) -> list[_Brought]:
        return [one async for one in _bring_in(client, there, is_dry=is_dry)]

    try:
        brought = administer(target, bring_in, creates=not is_dry)
    except StartRefusedError:
        if not is_dry:
            raise
        # There is no directory yet: all of it would be new.
        brought = [_Brought(*one, "would be made") for one in _name_all(there)]
    rows = [(one.kind, escape(one.name), escape(one.outcome)) for one in brought]
    document = {"dry_run": is_dry, "items": [attrs.asdict(one) for one in brought]}
    show_result(target, document, table(("WHAT", "NAME", "OUTCOME"), rows, None))
    return Exit.FAILED if any(one.has_failed for one in brought) else Exit.DONE


_ORIGIN = {"origin": "cidx"}
"""The label of what is brought in: it is known by that, and not brought in again."""


@attrs.frozen
class _Brought:
    """What became of one thing."""

    kind: str
    """``user``, ``project`` or ``job``."""
    name: str
    outcome: str
    has_failed: bool = False


def _name_all(there: CidxServer) -> Iterator[tuple[str, str]]:
    yield from (("user", one.user_id) for one in there.users)
    yield from (("project", f"{one.alias} of {one.user_id}") for one in there.repositories)
    yield from (("job", f"{one.job_id} of {one.user_id}") for one in there.jobs)


async def _bring_in(
    client: JobsClient, there: CidxServer, *, is_dry: bool
) -> AsyncIterator[_Brought]:
    accounts = {one.user_id for one in (await client.list_users()).users}
    for user in there.users:
        yield await _bring_one(
            ("user", user.user_id),
            user.user_id in accounts,
            partial(
                client.create_user,
                user.user_id,
                scope=user.scope,
                password_hash=user.password_hash,
            ),
            is_dry=is_dry,
        )
    projects = {
        (one.user_id, one.project_id)
        for one in (await client.list_projects(user_id=EVERYBODY)).projects
    }
    fresh = set()
    for repository in there.repositories:
        place = (repository.user_id, repository.alias)
        name = ("project", f"{repository.alias} of {repository.user_id}")
        if repository.url is None:
            yield _Brought(*name, "left out: its repository is not known", has_failed=True)
            continue
        fresh.add(place)
        submit = partial(
            client.sync,
            repository.alias,
            repository_url=repository.url,
            branch=repository.branch,
            user_id=repository.user_id,
            labels=_ORIGIN,
        )
        yield await _bring_one(name, place in projects, submit, is_dry=is_dry)
    for job in there.jobs:
        yield await _bring_job(client, job, fresh - projects, is_dry=is_dry)


async def _bring_job(
    client: JobsClient, job: CidxJob, fresh: set[tuple[str, str]], *, is_dry: bool
) -> _Brought:
    """Bring in a job, unless a sync that was brought in for its project serves it, too."""
    name = ("job", f"{job.job_id} of {job.user_id}")
    if (job.user_id, job.alias) in fresh:
        return _Brought(*name, "is served by the first sync of its project")
    known = await client.list_jobs(
        user_id=job.user_id, project_id=job.alias, labels=_ORIGIN, limit=1
    )
    submit = partial(
        client.sync, job.alias, repository_url=job.url, user_id=job.user_id, labels=_ORIGIN
    )
    return await _bring_one(name, bool(known.jobs), submit, is_dry=is_dry)


async def _bring_one(
    name: tuple[str, str],
    is_there: bool,  # noqa: FBT001 - what the one call of each kind has found out
    make: Callable[[], Awaitable[object]],
    *,
    is_dry: bool,
) -> _Brought:
    if is_there:
        return _Brought(*name, "is there already")
    if is_dry:
        return _Brought(*name, "would be made")
    try:
        await make()
    except (RequestRefusedError, ConflictError) as error:
        return _Brought(*name, f"refused: {text_of_error(error)}", has_failed=True)
    return _Brought(*name, "made")
