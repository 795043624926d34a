"""What does a sync through the server cost, against the same git and FTS5 by hand?

A repository of 20,000 files is synced for the first time, and then with 20 files changed: through
a whole job system with everything durable, and by the same git and SQLite in one thread, as short
as it can be written. By hand once with the server's tables (the goal's probe) and once as FTS5
comes (full detail). Beside it: the lag of the loop while the server indexes, and its memory.

``BENCH_FILES`` sets another number of files.
"""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from random import Random
from time import perf_counter

import attrs

from bench.harness import Bench, progress
from cidx_jobs.model.job.job import Job, JobStatus
from cidx_jobs.settings import Settings
from cidx_jobs.system import JobSystem

FILES = int(os.environ.get("BENCH_FILES", "20000"))
CHANGED = 20
LINES = 22
WORDS = 7
VOCABULARY = 4_000
SYLLABLES = ("get", "set", "job", "run", "ner", "lo", "ad", "in", "dex", "re", "po", "sync", "_")
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
}
LAG_STEP_SECONDS = 0.002
MILLISECONDS = 1e3
MIB = 2**20

SERVER_TABLES = (
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, blob BLOB UNIQUE, text TEXT)",
    """
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='contents', content_rowid='id',
        tokenize='trigram', detail=none, columnsize=0
    )
    """,
    "CREATE TABLE files (path TEXT PRIMARY KEY, content INTEGER)",
)
PLAIN_TABLES = (
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, blob BLOB UNIQUE, text TEXT)",
    "CREATE VIRTUAL TABLE words USING fts5 (text, tokenize='trigram')",
    "CREATE TABLE files (path TEXT PRIMARY KEY, content INTEGER)",
)


def git(directory: Path, *arguments: str, data: bytes | None = None) -> bytes:
    """Run git in a directory and give its output."""
    return subprocess.run(
        ["git", "-C", str(directory), *arguments],
        env=ENVIRONMENT,
        input=data,
        capture_output=True,
        check=True,
    ).stdout


@attrs.define
class Remote:
    """The repository that is synced."""

    path: Path
    files: int = FILES
    random: Random = attrs.field(factory=lambda: Random(1))
    vocabulary: list[str] = attrs.field(factory=list)

    def build(self) -> None:
        """Make it with all its files, packed as a host keeps it."""
        self.vocabulary = [
            "".join(self.random.choices(SYLLABLES, k=self.random.randint(2, 5)))
            for _ in range(VOCABULARY)
        ]
        self.path.mkdir()
        git(self.path, "init", "--quiet", "--initial-branch=main")
        for number in range(self.files):
            self.write(number)
        self.commit()
        git(self.path, "repack", "-a", "-d", "-q")

    def change(self) -> None:
        """Commit some changed files."""
        for number in self.random.sample(range(self.files), CHANGED):
            self.write(number)
        self.commit()

    def write(self, number: int) -> None:
        """Write one file with words of its own."""
        file = self.path / f"d{number % 211}" / f"f{number}.py"
        file.parent.mkdir(exist_ok=True)
        lines = (" ".join(self.random.choices(self.vocabulary, k=WORDS)) for _ in range(LINES))
        file.write_text(f"# {number} {self.random.random()}\n" + "\n".join(lines) + "\n")

    def commit(self) -> None:
        """Commit what was written."""
        git(self.path, "add", "--all")
        git(self.path, "commit", "--quiet", "--message=change")


class ByHand:
    """A sync as short as it can be written: one thread, one transaction, nothing durable."""

    def __init__(self, remote: Remote, directory: Path, tables: tuple[str, ...]) -> None:
        """Begin in an empty directory."""
        self.remote = remote
        self.repository = directory / "repo.git"
        self.database = directory / "index.db"
        directory.mkdir()
        git(directory, "init", "--quiet", "--bare", str(self.repository))
        with closing(sqlite3.connect(self.database)) as db:
            for table in tables:
                db.execute(table)

    def sync(self) -> float:
        """Fetch and index what is new; give the seconds."""
        began = perf_counter()
        refspec = "+HEAD:refs/cidx/head"
        git(self.repository, "fetch", "-q", "--depth=1", "--", str(self.remote.path), refspec)
        listed = git(self.repository, "ls-tree", "-r", "-z", "refs/cidx/head").split(b"\0")[:-1]
        tree = {line[53:].decode(): line[12:52].decode() for line in listed}
        with closing(sqlite3.connect(self.database)) as db, db:
            known = {blob.hex(): key for key, blob in db.execute("SELECT id, blob FROM contents")}
            keys = dict(known)
            lacking = [blob for blob in dict.fromkeys(tree.values()) if blob not in known]
            for key, (blob, text) in enumerate(self.read(lacking), start=len(known) + 1):
                keys[blob] = key
                row = (key, bytes.fromhex(blob), text)
                db.execute("INSERT INTO contents VALUES (?, ?, ?)", row)
                db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (key, text))
            rows = ((path, keys[blob]) for path, blob in tree.items())
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", rows)
        return perf_counter() - began

    def read(self, blobs: list[str]) -> Iterator[tuple[str, str]]:
        """Read files by name."""
        names = "".join(f"{blob}\n" for blob in blobs).encode()
        output = git(self.repository, "cat-file", "--batch", "--buffer", data=names)
        place = 0
        for blob in blobs:
            end = output.index(b"\n", place)
            size = int(output[place:end].rsplit(b" ", 1)[1])
            place = end + 1 + size + 1
            yield blob, output[end + 1 : end + 1 + size].decode()


@attrs.define
class Server:
    """The same through a job system, measured from the submit to the end that is seen."""

    remote: Remote
    directory: Path
    lags: list[float] = attrs.field(factory=list)
    memory: list[int] = attrs.field(factory=list)

    async def first_and_second(self) -> tuple[float, float]:
        """Sync, change some files, sync again; give the seconds of both."""
        settings = Settings(data_dir=self.directory, git_local_roots=(self.remote.path,))
        async with JobSystem.open(settings) as jobs, self.watched():
            first = await self.sync(jobs)
            await asyncio.to_thread(self.remote.change)
            return first, await self.sync(jobs)

    async def sync(self, jobs: JobSystem) -> float:
        """Run one sync to its end."""
        began = perf_counter()
        options = {"repository_url": str(self.remote.path)}
        submitted = await jobs.submit("bench", "bench", options=options)
        job: Job = await jobs.wait(submitted.job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        assert job.result is not None
        assert job.result["files_total"] == FILES
        return perf_counter() - began

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Measure how late the loop is, again and again, and the memory of the process."""
        watching = asyncio.create_task(self.watch())
        yield
        watching.cancel()

    async def watch(self) -> None:
        """Sleep for a little, and note by how much it became more."""
        idle = resident_bytes()
        while True:
            began = perf_counter()
            await asyncio.sleep(LAG_STEP_SECONDS)
            self.lags.append(perf_counter() - began - LAG_STEP_SECONDS)
            if len(self.lags) % 100 == 0:
                self.memory.append(resident_bytes() - idle)


def resident_bytes() -> int:
    """Give the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def percentile(values: list[float], share: float) -> float:
    """Give the value below which the share of all lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def workshop() -> Iterator[Path]:
    """Give a directory for a round."""
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as directory:
        yield Path(directory)


def measure_hand(remote: Remote, tables: tuple[str, ...]) -> tuple[float, float]:
    """Give the seconds of a first and a second sync by hand."""
    with workshop() as directory:
        by_hand = ByHand(remote, directory / "hand", tables)
        first = by_hand.sync()
        remote.change()
        return first, by_hand.sync()


def measure_server(remote: Remote, lags: list[float], memory: list[float]) -> tuple[float, float]:
    """Give the seconds of a first and a second sync through a job system."""
    with workshop() as directory:
        server = Server(remote, directory / "data")
        seconds = asyncio.run(server.first_and_second())
    lags.append(percentile(server.lags, 0.99) * MILLISECONDS)
    memory.append(max(server.memory) / MIB)
    return seconds


def main() -> None:
    """Measure and print."""
    home = Path(tempfile.mkdtemp(prefix="bench-sync-remote-"))
    try:
        remote = Remote(home / "remote")
        progress(f"making a repository of {FILES:,} files")
        remote.build()
        compare(remote)
    finally:
        shutil.rmtree(home)


def compare(remote: Remote) -> None:
    """Run the three sides in turn."""
    with Bench("sync", settings={"files": FILES, "changed": CHANGED}) as bench:
        ours, hand, plain = [], [], []
        lags: list[float] = []
        memory: list[float] = []
        for _ in range(bench.rounds):
            ours.append(measure_server(remote, lags, memory))
            hand.append(measure_hand(remote, SERVER_TABLES))
            plain.append(measure_hand(remote, PLAIN_TABLES))
        first = bench.figure("first, server", [pair[0] for pair in ours], unit="s")
        probe = bench.figure("first, by hand", [pair[0] for pair in hand], unit="s")
        full = bench.figure("first, by hand, full detail", [pair[0] for pair in plain], unit="s")
        bench.ratio("first, server : by hand", first, probe, at_most=0.75)
        bench.ratio("first, server : by hand, full detail", first, full, at_most=0.75)
        second = bench.figure("20 changed, server", [pair[1] for pair in ours], unit="s")
        probe = bench.figure("20 changed, by hand", [pair[1] for pair in hand], unit="s")
        over = [a[1] - 1.2 * b[1] for a, b in zip(ours, hand, strict=True)]
        bench.figure("20 changed, server less 1.2 x by hand", over, unit="s", at_most=0.2)
        bench.ratio("20 changed, server : by hand", second, probe)
        bench.figure("lag of the loop, p99", lags, unit="ms", at_most=20)
        bench.figure("memory above idle", memory, unit="MiB", at_most=150)


if __name__ == "__main__":
    main()
