"""What a start removes from a data directory, and what it leaves alone."""

import asyncio
from pathlib import Path

import pytest

from cidx_jobs.model.ids import JobId
from cidx_jobs.settings import DataDirectory
from cidx_jobs.store import sweep as leftovers

FINISHED = "01980000-0000-7000-8000-000000000001"
UNFINISHED = "01980000-0000-7000-8000-000000000002"

NOBODYS = (
    "jobs.draft",
    "server.json.4711",
    "admin.token.4711",
    "projects/aa/run-1/objects/pack",
    "projects/aa/run-1.old/HEAD",
    "projects/aa/index.next",
    "projects/removed-bb.0123/repo.git/HEAD",
    "programs/removed-bb.4567/tree/a.txt",
    f"projects/aa/index-{FINISHED}.2.db",
    f"projects/aa/index-{FINISHED}.2.db-wal",
)
KEPT = (
    "jobs.db",
    "jobs.mark",
    "owner.lock",
    "server.json",
    "admin.token",
    "git-credentials",
    "backups/jobs.db",
    "projects/aa/repo.git/HEAD",
    "projects/aa/index.current",
    f"projects/aa/index-{FINISHED}.1.db",
    f"projects/aa/index-{UNFINISHED}.1.db",
    f"projects/aa/index-{UNFINISHED}.1.db-wal",
)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """Give a data directory of a server that was killed in its work."""
    for name in (*NOBODYS, *KEPT):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    pointer = tmp_path / "projects/aa/index.current"
    pointer.write_text(f"index-{FINISHED}.1.db", encoding="utf-8")
    return DataDirectory(tmp_path)


async def is_unfinished(job_id: JobId) -> bool:
    """Tell of the one job that goes on."""
    return job_id == UNFINISHED


def test_what_nobody_goes_on_with_is_swept(directory: DataDirectory) -> None:
    """Drafts and work of runs go; what is used, or what a job will go on with, stays."""
    swept = asyncio.run(leftovers.sweep(directory, is_unfinished))

    left = {path.relative_to(directory.root) for path in directory.root.rglob("*")}
    assert {Path(name) for name in KEPT} <= left
    assert not {Path(name) for name in NOBODYS} & left
    assert swept == 9


def test_a_new_directory_has_nothing_to_sweep(tmp_path: Path) -> None:
    """Also one in which no project was ever made."""
    assert asyncio.run(leftovers.sweep(DataDirectory(tmp_path), is_unfinished)) == 0
