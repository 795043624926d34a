"""The repository sync over ssh, with a program in place of ssh that runs the remote side here."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cidx_jobs.clock import SystemClock
from cidx_jobs.handlers.process.children import Children
from cidx_jobs.handlers.repository_sync.job_type import make_repository_sync
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.store.copy_files import CopyDirectories
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.memory.persistence import MemoryPersistence
from cidx_jobs.system import JobSystem
from tests.sync_kit import Repository, Syncs, sync_settings

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

# Its last argument is what the remote side shall run.
SSH = """#!/bin/sh
printf '%s\\n' "$@" >> LOG
for last; do :; done
exec sh -c "$last"
"""
ADDRESS = "203.0.114.9"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the program onto the path; give the file that it writes its arguments into."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "ssh.log"
    (programs / "ssh").write_text(SSH.replace("LOG", str(log)))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return log


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that enable ssh."""
    return sync_settings(tmp_path, git_ssh=True)


@pytest.fixture
async def syncs(settings: Settings, log: Path) -> AsyncIterator[Syncs]:
    """Give a system whose resolver knows every host at one public address."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("git.example.org", 22)
        return [ADDRESS]

    store = MemoryPersistence()
    indexer = FtsIndexer(DataDirectory(settings.data_dir).projects)
    sync = make_repository_sync(
        settings,
        store.projects,
        indexer,
        Children("test:1"),
        SystemClock(),
        files=CopyDirectories(DataDirectory(settings.data_dir), store.projects),
        resolve=resolve,
    )
    async with JobSystem(settings, [sync], persistence=store) as jobs:
        yield Syncs(jobs)
    await indexer.close()


@pytest.mark.parametrize("form", ["ssh://git@git.example.org{path}", "git@git.example.org:{path}"])
async def test_a_repository_is_synced_over_ssh(
    syncs: Syncs, tmp_path: Path, log: Path, form: str
) -> None:
    """The name is pinned to the address that was checked, and nobody is asked for anything."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.txt": "through the shell\n"})
    path = str(repository.path)
    url = form.format(path=path if form.startswith("ssh") else path.removeprefix("/"))

    job = await syncs.sync(url)

    assert job.status is JobStatus.COMPLETED, job.error
    assert await syncs.search("the shell") == [("a.txt", 1, "through the shell")]
    told = (await asyncio.to_thread(log.read_text)).splitlines()
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", f"HostName={ADDRESS}"} <= set(told)
    assert {"HostKeyAlias=git.example.org", "git@git.example.org"} <= set(told)
    assert told[told.index("-F") + 1] == "none"
