"""An index whose maker is killed is whole: as it was, or as it was to become."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidx_jobs.model.index import Document, DraftRequest, SearchRequest, TreeEntry
from cidx_jobs.store.index.files import IndexFiles
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.state import add_functions
from tests.recovery.index_victim import COPY, FILES, JOB, PROJECT, USER, make_index

WAIT_SECONDS = 30.0

# Each test starts a process and kills it.
pytestmark = pytest.mark.slow


@pytest.fixture
async def copies(tmp_path: Path) -> AsyncIterator[Path]:
    """Yield where an older index lies, of one file, and hold each index there to its words."""
    indexer = FtsIndexer(tmp_path)
    async with indexer.draft(
        DraftRequest(copy_id=COPY, user_id=USER, project_id=PROJECT, job_id=JOB, run=0, full=False)
    ) as draft:
        await draft.compare([TreeEntry("old", "100644", "f" * 40, 9)], 1_000)
        await draft.add([Document("f" * 40, b"old words")])
        await draft.publish("old", {})
    await indexer.close()
    yield tmp_path
    for path in (tmp_path / COPY).glob("*.db"):
        check_words(path)


def check_words(path: Path) -> None:
    """Let SQLite hold the words of an index to its texts, wherever its maker was killed."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        add_functions(db)
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


def kill_at(copies: Path, point: str) -> None:
    """Run a process that makes the index anew until it is killed at *point*."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.recovery.index_victim", str(copies), point],
        stderr=subprocess.PIPE,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


async def search(copies: Path, text: str) -> tuple[str, int]:
    """Return the commit that a search sees, and in how many files it finds the text."""
    indexer = FtsIndexer(copies)
    page = await indexer.search(
        SearchRequest(copy_id=COPY, text=text, user_id=USER, project_id=PROJECT, limit=FILES)
    )
    await indexer.close()
    return page.commit, len({hit.path for hit in page.hits})


@pytest.mark.parametrize(
    "point",
    [
        "document:1",
        "document:2900",
        "after:2000:0.002",
        "after:2200:0.01",
        "after:3000:0.05",
        "merge",
        "rename",
    ],
)
async def test_a_kill_before_the_publication_leaves_the_index_as_it_was(
    copies: Path, point: str
) -> None:
    """Searches see the older one, and the next run goes on to the same end."""
    kill_at(copies, point)

    assert await search(copies, "old words") == ("old", 1)
    for path in (copies / COPY).glob("*.db"):
        check_words(path)
    staged = await make_index(copies, run=2)
    assert await search(copies, "line 39 of") == ("new", FILES)
    assert await search(copies, "file 2001 line 5 ") == ("new", 1)
    if point == "rename":
        assert staged == FILES


@pytest.mark.parametrize("point", ["renamed", "remove"])
async def test_a_kill_after_the_publication_leaves_the_new_index(copies: Path, point: str) -> None:
    """Searches see it, whole, and what is left of the older one goes with the next draft."""
    kill_at(copies, point)

    assert await search(copies, "line 39 of") == ("new", FILES)
    await make_index(copies, run=2)
    current = await asyncio.to_thread(IndexFiles(copies / COPY).current)
    assert list((copies / COPY).glob("*.db")) == [current]
