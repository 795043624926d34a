"""A server that is killed in the middle of a sync goes on with it, to the same index."""

import asyncio
import contextlib
import hashlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cidx_jobs.handlers.process.orphans import _marked
from cidx_jobs.model.job.job import Job, JobStatus, Outcome
from cidx_jobs.settings import Settings
from cidx_jobs.store.index.state import add_functions
from cidx_jobs.system import JobSystem
from tests.recovery.sync_victim import PROJECT, USER
from tests.sync_kit import Repository, Syncs, sync_settings

FILES = 5_000
WAIT_SECONDS = 30.0

# Each test starts servers and kills them.
pytestmark = pytest.mark.slow

Reached = Callable[[list[str]], bool]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Give a repository whose first sync takes long enough to be killed anywhere."""
    repository = Repository(tmp_path_factory.mktemp("remotes") / "code")
    words = [hashlib.sha256(f"{n}".encode()).hexdigest() for n in range(FILES)]
    repository.commit(
        {f"d{n % 37}/f{n}.txt": f"{word}\n{word[::-1]}\n" * 5 for n, word in enumerate(words)}
    )
    return repository


@pytest.fixture
def settings(tmp_path: Path, repository: Repository) -> Settings:
    """Give the settings of the server that takes over."""
    return sync_settings(tmp_path, git_local_roots=(repository.path,))


@contextlib.contextmanager
def victim(settings: Settings, repository: Repository) -> Iterator["subprocess.Popen[str]"]:
    """Run a server in a process of its own."""
    arguments = [str(settings.data_dir), str(repository.path), repository.url]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.recovery.sync_victim", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_when(settings: Settings, repository: Repository, reached: Reached) -> bool:
    """Run a server until *reached* says so of a line that it prints, and kill -9 it there.

    False when the sync was done before.
    """
    with victim(settings, repository) as process:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if reached(words):
                process.send_signal(signal.SIGKILL)
                return True
    return False


async def take_over(settings: Settings) -> tuple[Job, str]:
    """Open the directory as the next server, wait for the sync's end, and digest the index."""
    async with JobSystem.open(settings) as jobs:
        assert await asyncio.to_thread(lambda: list(_marked(jobs.identity))) == []
        (known,) = await jobs.list(USER)
        job = await jobs.wait(known.job_id, timeout=WAIT_SECONDS)
        syncs = Syncs(jobs)
        assert syncs.leftovers() == []
        return job, digest(syncs.directory)


def digest(directory: Path) -> str:
    """Give a digest of all that searches can see in an index."""
    file = directory / (directory / "index.current").read_text()
    found = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(file)) as db:
        add_functions(db)
        rows = db.execute(
            "SELECT f.path, f.mode, f.blob, c.skipped, c.text FROM files f"
            " LEFT JOIN contents c ON c.id = f.content ORDER BY f.path"
        )
        for row in rows:
            found.update(repr(row).encode())
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        (contents,) = db.execute("SELECT count(*) FROM contents").fetchone()
    return f"{found.hexdigest()} {contents}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, repository: Repository) -> str:
    """Give the digest of the index of a sync that nobody disturbed."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("undisturbed") / "data",
        git_local_roots=(repository.path,),
    )
    assert not kill_when(settings, repository, lambda words: words[0] == "nothing")
    (directory,) = (settings.data_dir / "projects").iterdir()
    return digest(directory)


def phase_is(name: str) -> Reached:
    """Stop as soon as the phase is entered."""
    return lambda words: words[0] == name


def files_are(count: int) -> Reached:
    """Stop when so many files were added, in a phase that does not say how many yet."""
    return lambda words: words[0] == "indexing" and words[2].isdigit() and int(words[2]) >= count


@pytest.mark.parametrize(
    "reached",
    [
        pytest.param(phase_is("preparing"), id="preparing"),
        pytest.param(phase_is("git_sync"), id="git_sync"),
        pytest.param(phase_is("change_detection"), id="change_detection"),
        pytest.param(phase_is("indexing"), id="indexing"),
        pytest.param(files_are(FILES // 2), id="in-the-middle"),
        pytest.param(files_are(FILES), id="all-files"),
        pytest.param(phase_is("validation"), id="validation"),
    ],
)
async def test_a_killed_sync_goes_on_to_the_same_index(
    settings: Settings, repository: Repository, undisturbed: str, reached: Reached
) -> None:
    """Wherever kill -9 comes, the next server ends the sync as if nothing had happened."""
    kill_when(settings, repository, reached)

    job, index = await take_over(settings)

    assert job.status is JobStatus.COMPLETED, job.error
    assert index == undisturbed
    assert job.result is not None
    assert (job.result["files_added"], job.result["files_total"]) == (FILES, FILES)
    assert job.attempt == 1


async def test_a_sync_goes_on_at_the_file_where_it_was(
    settings: Settings, repository: Repository
) -> None:
    """What was indexed before the kill is not done again, and the result says how much."""
    assert kill_when(settings, repository, files_are(FILES // 2))

    job, _ = await take_over(settings)

    assert job.attempts[0].outcome is Outcome.INTERRUPTED
    assert job.result is not None
    assert job.result["resumed_from"]["phase"] == "indexing"
    assert job.result["resumed_from"]["files"] >= FILES // 3
    assert job.result["files_indexed"] == FILES


async def test_a_sync_that_goes_on_asks_no_remote(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    """An interrupted sync goes on with the commit that it had, even if the remote is gone."""
    assert kill_when(settings, repository, files_are(FILES // 2))
    away = tmp_path / "away"
    repository.path.rename(away)
    try:
        job, _ = await take_over(settings)
    finally:
        away.rename(repository.path)

    assert job.status is JobStatus.COMPLETED, job.error
    assert job.project_id == PROJECT


async def test_a_sync_that_is_killed_again_and_again_ends(
    settings: Settings, repository: Repository, undisturbed: str
) -> None:
    """Each life goes on a little further, and the end is the same."""
    for share in (5, 3, 2):
        kill_when(settings, repository, files_are(FILES // share))

    job, index = await take_over(settings)

    assert job.status is JobStatus.COMPLETED, job.error
    assert index == undisturbed
