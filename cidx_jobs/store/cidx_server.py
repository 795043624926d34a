"""What a CIDX server keeps in its SQLite database: users, repositories, unfinished syncs."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

_ROLES = {"admin": "admin", "power_user": "write", "normal_user": "write"}
_USERS = "SELECT username, password_hash, role FROM users ORDER BY username"
_GOLDEN = "SELECT alias, repo_url, default_branch FROM golden_repos_metadata"
_ACTIVATIONS = """
SELECT username, user_alias, golden_repo_alias, current_branch, is_composite
FROM activated_repos ORDER BY username, user_alias
"""
_SYNCS = """
SELECT job_id, username, user_alias, repository_url FROM sync_jobs
WHERE status IN ('queued', 'pending', 'running') ORDER BY created_at
"""
_BACKGROUND = """
SELECT job_id, username, repo_alias, NULL FROM background_jobs
WHERE status IN ('pending', 'running') AND operation_type LIKE '%sync%'
AND repo_alias IS NOT NULL ORDER BY created_at
"""
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_FOLDER = "activated-repos"
_SUFFIX = "_metadata.json"


class CidxUser(msgspec.Struct, frozen=True):
    """Somebody who has an account there."""

    user_id: str
    password_hash: str
    scope: str
    """What the role there is here."""


class CidxRepository(msgspec.Struct, frozen=True):
    """A repository that a user has activated there."""

    user_id: str
    alias: str
    url: str | None
    """None where nobody knows it: it is put together of several, or its origin is gone."""
    branch: str | None


class CidxJob(msgspec.Struct, frozen=True):
    """A sync that is not done there."""

    job_id: str
    user_id: str
    alias: str
    url: str | None


class CidxServer(msgspec.Struct, frozen=True):
    """All of it."""

    users: Sequence[CidxUser]
    repositories: Sequence[CidxRepository]
    jobs: Sequence[CidxJob]


def read_cidx_server(database: Path) -> CidxServer:
    """Return what the database holds, and what lies in files beside it; blocks.

    A server that runs there is not disturbed: nothing is written, and nothing locked for longer
    than a read.

    Raises:
        ValueError: it is no database of a CIDX server.
        OSError: it cannot be read.
    """
    if not database.is_file():
        raise FileNotFoundError(2, "there is no such file", str(database))
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            tables = {name for (name,) in connection.execute(_TABLES)}
            if "users" not in tables:
                message = f"{database} is no database of a CIDX server: it has no users"
                raise ValueError(message)
            return _read(connection, tables, database.parent / _FOLDER)
    except sqlite3.Error as error:
        message = f"{database} cannot be read: {error}"
        raise ValueError(message) from error


def _read(connection: sqlite3.Connection, tables: set[str], folder: Path) -> CidxServer:
    users = [
        CidxUser(name, password_hash, _ROLES.get(role, "write"))
        for name, password_hash, role in connection.execute(_USERS)
    ]
    golden: dict[str, tuple[str, str]] = {}
    if "golden_repos_metadata" in tables:
        golden = {alias: (url, branch) for alias, url, branch in connection.execute(_GOLDEN)}
    found = {
        (user, alias): _repository(user, alias, origin, branch, golden)
        for user, alias, origin, branch in _activations(connection, tables, folder)
    }
    jobs = [
        CidxJob(*row)
        for table, query in (("sync_jobs", _SYNCS), ("background_jobs", _BACKGROUND))
        if table in tables
        for row in connection.execute(query)
    ]
    return CidxServer(users, [*found.values()], jobs)


def _activations(
    connection: sqlite3.Connection, tables: set[str], folder: Path
) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yield user, alias, origin and branch of each activation, from the table and from files."""
    if "activated_repos" in tables:
        for user, alias, origin, branch, is_composite in connection.execute(_ACTIVATIONS):
            yield user, alias, None if is_composite else origin, branch
    for file in sorted(folder.glob(f"*/*{_SUFFIX}")):
        known: Any = None
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(file.read_text("utf-8"))
        if not isinstance(known, dict):
            continue
        origin = None if known.get("is_composite") else known.get("golden_repo_alias")
        alias = file.name.removesuffix(_SUFFIX)
        yield file.parent.name, alias, origin, known.get("current_branch")


def _repository(
    user: str,
    alias: str,
    origin: str | None,
    branch: str | None,
    golden: dict[str, tuple[str, str]],
) -> CidxRepository:
    url, usual = golden.get(origin or "", (None, None))
    # What follows the default branch there follows it here.
    return CidxRepository(user, alias, url, None if branch == usual else branch)
