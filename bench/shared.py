"""What do fifty users cost who sync the same repository, against one?

A repository of 6,000 files is synced for the first time by one user, and in another data directory
by fifty who ask at the same moment: the time until the last of them is done, and the disk that it
takes.
"""

import asyncio
import tempfile
from pathlib import Path
from time import perf_counter

from bench.harness import Bench, progress
from bench.sync import MIB, Remote
from cidx_jobs.model.job.job import JobStatus
from cidx_jobs.settings import DataDirectory, Settings
from cidx_jobs.system import JobSystem

FILES = 6_000
USERS = 50
TIMEOUT_SECONDS = 600.0


async def sync(remote: Path, data: Path, users: int) -> tuple[float, float]:
    """Sync as so many users at a time; give the seconds, and the bytes of copies and indexes."""
    settings = Settings(data_dir=data, git_local_roots=(remote,))
    options = {"repository_url": str(remote)}
    async with JobSystem(settings) as jobs:
        began = perf_counter()
        asked = [
            await jobs.submit(f"user{number}", "code", options=options) for number in range(users)
        ]
        for job in asked:
            ended = await jobs.wait(job.job_id, timeout=TIMEOUT_SECONDS)
            assert ended.status is JobStatus.COMPLETED, ended.error
        seconds = perf_counter() - began
    files = DataDirectory(data).projects.rglob("*")
    return seconds, float(sum(file.stat().st_size for file in files if file.is_file()))


def measure(remote: Path, users: int) -> tuple[float, float]:
    """Sync in a data directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-shared-") as directory:
        return asyncio.run(sync(remote, Path(directory) / "data", users))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-shared-remote-") as home:
        remote = Remote(Path(home) / "remote", files=FILES)
        progress(f"making a repository of {FILES:,} files")
        remote.build()
        with Bench("shared", settings={"files": FILES, "users": USERS}) as bench:
            ones, many = [], []
            for _ in range(bench.rounds):
                ones.append(measure(remote.path, 1))
                many.append(measure(remote.path, USERS))
            one = bench.figure("time, one user", [pair[0] for pair in ones], unit="s")
            all_ = bench.figure(f"time, {USERS} users", [pair[0] for pair in many], unit="s")
            bench.ratio("time, all : one", all_, one, at_most=2)
            one = bench.figure("disk, one user", [pair[1] / MIB for pair in ones], unit="MiB")
            all_ = bench.figure(
                f"disk, {USERS} users", [pair[1] / MIB for pair in many], unit="MiB"
            )
            bench.ratio("disk, all : one", all_, one, at_most=1.1)


if __name__ == "__main__":
    main()
