"""Files in other encodings, synced and searched; and searches held against those of git."""

import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cidx_jobs.settings import Settings
from tests.sync_kit import Repository, Syncs, sync_settings, syncing

# Each test runs git a dozen times.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = ("cidx_jobs", "docs", "tests")
QUERIES = 60
LIMIT = 50


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
    """Make an empty repository."""
    return Repository(tmp_path / "remotes" / "code")


async def test_the_encoding_that_attributes_name_is_used(
    syncs: Syncs, repository: Repository
) -> None:
    """For files that are no UTF-8; the nearest file of attributes counts, as it does to git."""
    text = "needle для поиска, ищи\n"
    repository.commit(
        {
            ".gitattributes": "*.txt encoding=cp1251\n",
            "sub/.gitattributes": "*.txt encoding=KOI8-R\nk.txt encoding=koi8-r\n",
            "a.txt": text.encode("cp1251"),
            "sub/k.txt": text.encode("koi8-r"),
            "u.txt": text.encode(),
        }
    )

    job = await syncs.sync(repository.url)

    assert await syncs.search("ДЛЯ ПОИСКА") == [
        (name, 1, text.strip()) for name in ("a.txt", "sub/k.txt", "u.txt")
    ]
    assert job.warnings == ()
    assert not (syncs.directory / "repo.git/index").exists()


async def test_a_search_finds_what_git_finds(syncs: Syncs, repository: Repository) -> None:
    """Random pieces of this project's own lines, in random case."""
    files = {name: leave_out_letters_of_two(text) for name, text in list_files()}
    repository.commit(files)
    await syncs.sync(repository.url)
    chance = random.Random(16)  # noqa: S311 - the queries are always the same
    lines = [line for text in files.values() for line in text.splitlines() if len(line) > 3]
    for _ in range(QUERIES):
        line = chance.choice(lines)
        start = chance.randrange(len(line) - 3)
        query = line[start : start + chance.randint(3, 30)]
        query = "".join(chance.choice((c.upper(), c.lower())) for c in query)
        if len(query.encode()) != len(query):
            continue
        told = git_grep(repository, query)[:LIMIT]
        assert [hit[:2] for hit in await syncs.search(query)] == told, query


def list_files() -> Iterator[tuple[str, str]]:
    """List the texts of this project."""
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.*")):
            if path.suffix in {".py", ".md", ".sql"}:
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def leave_out_letters_of_two(text: str) -> str:
    """Leave out ligatures and their like: whole folding makes them ASCII, and git does not."""
    return "".join(
        letter
        for letter in text
        if letter.isascii() or not any(folded.isascii() for folded in letter.casefold())
    )


def git_grep(repository: Repository, query: str) -> list[tuple[str, int]]:
    """Return the path and number of each line that git finds."""
    command = ["git", "-C", str(repository.path), "-c", "core.quotePath=false"]
    done = subprocess.run(
        [*command, "grep", "-F", "-i", "-n", "-I", "-z", "-e", query, "HEAD"],
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    found = []
    for line in done.stdout.decode().splitlines():
        name, number, *_ = line.split("\0")
        found.append((name.removeprefix("HEAD:"), int(number)))
    return found
