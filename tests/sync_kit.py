"""What the tests of the repository sync share: real repositories, real servers, a real system."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from cidx_jobs.model.errors import NotIndexedError
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.index import SearchHit, SearchRequest
from cidx_jobs.model.job.job import Job
from cidx_jobs.settings import REMOVED_PREFIX, DataDirectory, Settings
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem

ALICE = UserId("alice")
PROJECT = ProjectId("project")
WAIT_SECONDS = 20.0
"""How long a test waits for a sync."""

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "LC_ALL": "C",
}


def install_git(directory: Path, version: str) -> Path:
    """Make a git in *directory* that says it is another version, and return where it counts.

    Each time it is asked it adds a line to the file that is returned.
    """
    asked = directory / "asked"
    program = directory / "git"
    program.write_text(
        "#!/bin/sh\n"
        f'case "$1" in version) echo >> "{asked}"; echo "{version}"; exit;; esac\n'
        f'exec "{shutil.which("git")}" "$@"\n'
    )
    program.chmod(0o755)
    return asked


class Repository:
    """A real repository with a working copy, for tests to write in."""

    def __init__(self, path: Path, *, branch: str = "main", is_new: bool = True) -> None:
        """Make it, empty; or take the one that is there."""
        self.path = path
        if is_new:
            path.mkdir(parents=True)
            self.git("init", "--quiet", f"--initial-branch={branch}")

    @property
    def url(self) -> str:
        """The path, as a sync is given it."""
        return str(self.path)

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        """Run git in the repository and give its output."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            env=_ENVIRONMENT,
            input=data,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files into the working copy."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(
        self, files: Mapping[str, str | bytes] | None = None, *, gone: Iterable[str] = ()
    ) -> str:
        """Commit the files as they are, with those in *files* written and *gone* removed."""
        self.write(files or {})
        for name in gone:
            (self.path / name).unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change")
        return self.git("rev-parse", "HEAD")

    def commit_tree(self, tree: str) -> str:
        """Let the branch be one commit of a tree that was made by hand."""
        commit = self.git("commit-tree", "-m", "made", tree)
        self.git("update-ref", "HEAD", commit)
        return commit

    def add_object(self, kind: str, data: bytes) -> str:
        """Store an object and give its name."""
        return self.git("hash-object", "-t", kind, "-w", "--stdin", data=data)

    def make_tree(self, entries: Iterable[tuple[str, str, str]]) -> str:
        """Store a tree of (mode, object, name) and give its name; names may be hostile."""
        kinds = {"040000": "tree", "160000": "commit"}
        lines = (
            f"{mode} {kinds.get(mode, 'blob')} {name}\t{path}\0" for mode, name, path in entries
        )
        return self.git("mktree", "-z", "--missing", data="".join(lines).encode())


def find_copy(copies: Path) -> Path:
    """Give the one directory of a copy below *copies*, or one that is not there."""
    found = [path for path in copies.glob("*/") if not path.name.startswith(REMOVED_PREFIX)]
    assert len(found) <= 1, found
    return found[0] if found else copies / "none"


@attrs.frozen
class Syncs:
    """A job system that syncs, and short words for what tests do with it."""

    jobs: JobSystem

    async def sync(self, url: str | None = None, **options: Any) -> Job:
        """Sync the one project of the tests, and give the job at its end."""
        given = options if url is None else {"repository_url": url, **options}
        job = await self.jobs.submit(ALICE, PROJECT, options=given, max_attempts=1)
        return await self.jobs.wait(job.job_id, timeout=WAIT_SECONDS)

    async def search(self, text: str, path: str = "") -> list[tuple[str, int, str]]:
        """Give what a search finds, as (path, line number, line)."""
        return [(hit.path, hit.line_number, hit.line) for hit in await self.hits(text, path)]

    async def hits(self, text: str, path: str = "") -> list[SearchHit]:
        """Give what a search finds."""
        project = await self.jobs.persistence.projects.load_project(ALICE, PROJECT)
        if project is None:
            raise NotIndexedError(PROJECT)
        found = await self.jobs.indexer.search(
            SearchRequest(
                copy_id=project.readable_copy_id,
                text=text,
                user_id=ALICE,
                project_id=PROJECT,
                limit=50,
                path_prefix=path,
            )
        )
        return list(found.hits)

    @property
    def directory(self) -> Path:
        """Where the project's copy and index lie."""
        return find_copy(DataDirectory(self.jobs.settings.data_dir).projects)

    def leftovers(self) -> list[str]:
        """Name what lies in the project's directory and is neither its copy nor its index."""
        if not self.directory.is_dir():
            return []
        pointer = self.directory / "index.current"
        current = pointer.read_text() if pointer.is_file() else "none"
        known = {"repo.git", "index.current", current, f"{current}-wal", f"{current}-shm"}
        return sorted({path.name for path in self.directory.iterdir()} - known)


@asynccontextmanager
async def syncing(
    settings: Settings, store: MemoryPersistence | None = None
) -> AsyncIterator[Syncs]:
    """Open a system that syncs."""
    async with JobSystem(settings, persistence=store or MemoryPersistence()) as jobs:
        yield Syncs(jobs)


def sync_settings(tmp_path: Path, **values: Any) -> Settings:
    """Give settings with a data directory of their own, and local repositories allowed.

    No host is waited for, unless *values* say so.
    """
    known = {
        "data_dir": tmp_path / "data",
        "git_local_roots": (tmp_path / "remotes",),
        "git_outage_seconds": 0,
    }
    return Settings(**{**known, **values})
