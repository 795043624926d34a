"""A server in a process of its own that syncs one project until somebody kills it."""

import asyncio
import sys
from pathlib import Path

from cidx_jobs.settings import Settings
from cidx_jobs.system import JobSystem

USER, PROJECT = "alice", "project"


async def serve(data_dir: Path, roots: Path, url: str) -> None:
    """Submit a sync, or go on with the one that is there, and print how far it is.

    One line a change: phase, progress, files done, files in all.
    """
    settings = Settings(
        data_dir=data_dir, git_local_roots=(roots,), progress_interval_seconds=0.01
    )
    async with JobSystem.open(settings) as jobs:
        known = await jobs.list(USER)
        waiting = [job for job in known if not job.done]
        job = (
            waiting[0]
            if waiting
            else await jobs.submit(USER, PROJECT, options={"repository_url": url})
        )
        while not job.done:
            detail = job.progress_detail
            tell(f"{job.phase} {job.progress} {detail.done} {detail.total}")
            job = await jobs.wait(job.job_id, until="change", since=job.version, timeout=60)
        tell(job.status)


def tell(line: str) -> None:
    """Write a line at once, for whoever waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
