"""Projects: their rows, writes and reads."""

from collections.abc import Callable, Sequence
from functools import partial

from typing_extensions import override

from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId, make_lone_copy_id
from cidx_jobs.model.listing import Project, RunGuard
from cidx_jobs.store.sqlite.commit.fence import check_run
from cidx_jobs.store.sqlite.commit.transaction import Transaction
from cidx_jobs.store.sqlite.database import Database
from cidx_jobs.store.sqlite.values import (
    Row,
    from_json,
    optional_microseconds,
    optional_time,
    to_json,
)

_COLUMNS = """
user_id, project_id, repository_url, branch, default_branch, last_commit, last_synced_at,
last_job_id, files_indexed, repository_bytes, index_bytes, phase_seconds, copy_id, last_error,
changed_at
"""
# S608: the parts are constants of this module.
_READ_COLUMNS = f"{_COLUMNS}, sync_every_seconds"
_LOAD = f"SELECT {_READ_COLUMNS} FROM projects WHERE user_id = ? AND project_id = ?"  # noqa: S608
_LIST_FOLLOWED = f"""
SELECT {_READ_COLUMNS} FROM projects INDEXED BY projects_followed
WHERE sync_every_seconds IS NOT NULL ORDER BY user_id, project_id
"""  # noqa: S608
_SET_INTERVAL = "UPDATE projects SET sync_every_seconds = ? WHERE user_id = ? AND project_id = ?"
_AUTO = 0
"""What stands for ``auto`` in the column of intervals."""
_LIST = f"""
SELECT {_READ_COLUMNS} FROM projects
WHERE :user_id IS NULL OR user_id = :user_id ORDER BY user_id, project_id
"""  # noqa: S608
_INSERT = f"INSERT INTO projects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_OUTCOME_OF_A_SYNC = """
default_branch = excluded.default_branch, last_commit = excluded.last_commit,
last_synced_at = excluded.last_synced_at, last_job_id = excluded.last_job_id,
files_indexed = excluded.files_indexed, repository_bytes = excluded.repository_bytes,
index_bytes = excluded.index_bytes, phase_seconds = excluded.phase_seconds,
copy_id = excluded.copy_id, last_error = excluded.last_error, changed_at = excluded.changed_at
"""
# The url and branch of a project are those of its last successful sync or, before one, of its last
# submit (api.md, 1.3): a wrong one fails its own job and no later one.
_SAVE_REQUEST = f"""
{_INSERT} ON CONFLICT (user_id, project_id) DO UPDATE
SET repository_url = excluded.repository_url, branch = excluded.branch
WHERE projects.last_synced_at IS NULL
"""
_SAVE = f"""
{_INSERT} ON CONFLICT (user_id, project_id) DO UPDATE
SET repository_url = excluded.repository_url, branch = excluded.branch, {_OUTCOME_OF_A_SYNC}
"""
# A line never stands without a head but for the moment in which a follower moves up.
_IS_IDLE = """
user_id = :user_id AND project_id = :project_id
AND NOT EXISTS (SELECT 1 FROM jobs
WHERE user_id = :user_id AND project_id = :project_id AND place = 'head')
AND NOT EXISTS (SELECT 1 FROM jobs
WHERE user_id = :user_id AND project_id = :project_id AND place = 'follower')
"""
_DELETE = f"DELETE FROM projects WHERE {_IS_IDLE}"  # noqa: S608
_DELETE_SCHEDULES = """
DELETE FROM schedules WHERE user_id = ? AND project_id = ? AND is_declared = 0
"""
_FORGET_COPY = f"""
UPDATE projects SET files_indexed = NULL, repository_bytes = NULL, index_bytes = NULL
WHERE {_IS_IDLE}
"""  # noqa: S608


class SqliteProjects(ProjectStore):
    """What is known of projects, in the database."""

    def __init__(self, database: Database) -> None:
        """Take the database that holds it."""
        self._database = database

    @override
    async def save_project(self, project: Project, guard: RunGuard | None = None) -> None:
        row = encode_project(project)
        await self._database.write(partial(_save, project=row, guard=guard))

    @override
    async def load_project(self, user_id: UserId, project_id: ProjectId) -> Project | None:
        return await self._database.find_row(_LOAD, (user_id, project_id), _decode)

    @override
    async def list_projects(self, user_id: UserId | None) -> Sequence[Project]:
        return await self._database.list_rows(_LIST, {"user_id": user_id}, _decode)

    @override
    async def set_sync_interval(
        self, user_id: UserId, project_id: ProjectId, every: int | str | None
    ) -> None:
        values = (_AUTO if every == "auto" else every, user_id, project_id)
        await self._database.execute(_SET_INTERVAL, values)

    @override
    async def list_followed_projects(self) -> Sequence[Project]:
        return await self._database.list_rows(_LIST_FOLLOWED, (), _decode)

    @override
    async def delete_project(
        self, user_id: UserId, project_id: ProjectId, on_commit: Callable[[], None] | None = None
    ) -> None:
        def tell(is_deleted: bool) -> None:  # noqa: FBT001 - the value of the operation
            if is_deleted and on_commit is not None:
                on_commit()

        await self._database.write(partial(_delete, user_id, project_id), tell)

    @override
    async def forget_copy(self, user_id: UserId, project_id: ProjectId) -> None:
        values = {"user_id": user_id, "project_id": project_id}
        await self._database.execute(_FORGET_COPY, values)


def save_request(transaction: Transaction, project: Row) -> None:
    """Store the url and branch of a submit before the first sync, in its own transaction."""
    transaction.execute(_SAVE_REQUEST, project)


def encode_project(project: Project) -> Row:
    """Return the row of a project."""
    return (
        project.user_id,
        project.project_id,
        project.repository_url,
        project.branch,
        project.default_branch,
        project.last_commit,
        optional_microseconds(project.last_synced_at),
        project.last_job_id,
        project.files_indexed,
        project.repository_bytes,
        project.index_bytes,
        to_json(project.phase_seconds),
        project.copy_id,
        None if project.last_error is None else to_json(project.last_error),
        optional_microseconds(project.changed_at),
    )


def _decode(row: Row) -> Project:
    user_id, project_id, copy_id = UserId(row[0]), ProjectId(row[1]), row[12]
    if copy_id is None and row[6] is not None:
        # It was synced before projects shared their copies.
        copy_id = make_lone_copy_id(user_id, project_id)
    return Project(
        user_id=user_id,
        project_id=project_id,
        repository_url=row[2],
        branch=row[3],
        default_branch=row[4],
        last_commit=row[5],
        last_synced_at=optional_time(row[6]),
        last_job_id=None if row[7] is None else JobId(row[7]),
        files_indexed=row[8],
        repository_bytes=row[9],
        index_bytes=row[10],
        phase_seconds=from_json(row[11]),
        copy_id=None if copy_id is None else CopyId(copy_id),
        last_error=None if row[13] is None else from_json(row[13]),
        changed_at=optional_time(row[14]),
        sync_every_seconds="auto" if row[15] == _AUTO else row[15],
    )


def _save(transaction: Transaction, project: Row, guard: RunGuard | None) -> None:
    if guard is not None:
        check_run(transaction, guard)
    transaction.execute(_SAVE, project)


def _delete(user_id: UserId, project_id: ProjectId, transaction: Transaction) -> bool:
    transaction.execute(_DELETE, {"user_id": user_id, "project_id": project_id})
    if transaction.cursor.rowcount != 1:
        return False
    transaction.execute(_DELETE_SCHEDULES, (user_id, project_id))
    return True
