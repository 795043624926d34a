"""A process that makes an index until it kills itself at a given point."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.index import Document, DraftRequest, TreeEntry, WantedFile
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.words import contents

USER, PROJECT, COPY = UserId("alice"), ProjectId("project"), CopyId("copy")
JOB = JobId("01890000-0000-7000-8000-000000000001")
FILES = 3_000
LINES = 40


def make_text(number: int) -> str:
    """Return the text of a file; together they are several portions."""
    return "".join(f"file {number} line {line} of words\n" for line in range(LINES))


def make_tree() -> Sequence[TreeEntry]:
    """Return the tree with all the files."""
    return [
        TreeEntry(f"d{n % 7}/f{n:05}", "100644", f"{n:040x}", len(make_text(n)))
        for n in range(FILES)
    ]


class Point:
    """Where the process ends: ``document:N``, ``after:N:SECONDS``, ``merge``, or a file's event.

    ``rename`` is just before the index is named to searches, ``renamed`` just after it, and
    ``remove`` just before the index of before is removed.
    """

    def __init__(self, point: str) -> None:
        """Take the point, and listen for it where the interpreter tells of it."""
        self._kind, *numbers = point.split(":")
        self._document = int(numbers[0]) if numbers else -1
        self._seconds = float(numbers[1]) if len(numbers) > 1 else 0.0
        self._is_named = False
        sys.addaudithook(self._hear)

    def pass_document(self, number: int) -> None:
        """Tell that so many documents were read."""
        if number != self._document:
            return
        if self._kind == "document":
            kill()
        threading.Timer(self._seconds, kill).start()

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        names_index = event == "os.rename" and str(arguments[1]).endswith("index.current")
        if self._kind == "rename" and names_index:
            kill()
        if self._kind == "renamed" and self._is_named and event == "open":
            kill()
        if self._kind == "remove" and self._is_named and str(arguments[0]).endswith(".db"):
            kill()
        # Only what merges opens the file by its plain path.
        merges = event == "sqlite3.connect" and str(arguments[0]).startswith("/")
        if self._kind == "merge" and merges:
            threading.Timer(0.005, kill).start()
        self._is_named |= names_index


def kill() -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def read(wanted: Sequence[WantedFile], point: Point | None = None) -> Iterator[Document]:
    """Yield the documents that are wanted, as git would."""
    for number, file in enumerate(wanted, start=1):
        if point is not None:
            point.pass_document(number)
        yield Document(file.blob, make_text(int(file.blob, 16)).encode())


async def make_index(copies: Path, run: int, point: Point | None = None) -> int:
    """Make the index of all files anew, and return how many were there already."""
    indexer = FtsIndexer(copies)
    async with indexer.draft(
        DraftRequest(
            copy_id=COPY, user_id=USER, project_id=PROJECT, job_id=JOB, run=run, full=True
        )
    ) as draft:
        changes = await draft.compare(make_tree(), 1_000_000)
        await draft.add(read(await draft.take_wanted(FILES, 2**30), point))
        await draft.publish("new", {})
    await indexer.close()
    return changes.staged


if __name__ == "__main__":
    if sys.argv[2] == "merge":
        contents._MANY_SEGMENTS = 2
    asyncio.run(make_index(Path(sys.argv[1]), 1, Point(sys.argv[2])))
