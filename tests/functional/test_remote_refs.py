"""What a remote lists: thousands of refs, only tags, and names that are rare and right."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

MANY = 1_500


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Allow local repositories."""
    return sync_settings(tmp_path)


@pytest.fixture
async def syncs(settings: Settings) -> AsyncIterator[Syncs]:
    """Open a system."""
    async with syncing(settings) as opened:
        yield opened


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Make a repository with one file."""
    repository = Repository(tmp_path / "remotes" / "code")
    repository.commit({"a.txt": "needle\n"})
    return repository


@pytest.mark.parametrize("ending", ["HEAD", "refs/heads/main"])
@pytest.mark.parametrize("branch", [None, "main"])
async def test_the_branch_is_found_among_thousands_that_end_like_it(
    syncs: Syncs, repository: Repository, ending: str, branch: str | None
) -> None:
    """A hub of forks lists more than is kept of a program's words."""
    commit = repository.git("rev-parse", "HEAD")
    lines = "".join(f"create refs/forks/{n:05}/{ending} {commit}\n" for n in range(MANY))
    repository.git("update-ref", "--stdin", data=lines.encode())

    job = await syncs.sync(repository.url, branch=branch)

    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None
    assert job.result["commit_after"] == commit


async def test_a_repository_with_tags_alone_is_not_called_empty(
    syncs: Syncs, repository: Repository
) -> None:
    """It has commits, and no branch to follow."""
    repository.git("tag", "v1")
    repository.git("update-ref", "-d", "refs/heads/main")

    job = await syncs.sync(repository.url)

    assert job.error is not None
    assert job.error.code == "GIT-002"
    assert "no branch, only tags" in job.error.message


async def test_the_branches_that_there_are_are_named(syncs: Syncs, repository: Repository) -> None:
    """Whoever asked for another one sees what to ask for."""
    for number in range(7):
        repository.git("branch", f"b{number}")

    job = await syncs.sync(repository.url, branch="nope")

    assert job.error is not None
    assert job.error.code == "GIT-002"
    assert job.error.message.endswith("has no branch nope; it has b0, b1, b2, b3, b4 and 3 more")
