"""P16: what does it cost to ask a thousand projects every ten minutes, when nothing is new?

A hundred projects of one small repository of this machine are asked every ten seconds, by real
polls of a running system; git's processes are counted. The figure is the CPU time of one poll, and
what a thousand projects every ten minutes make of it.
"""

import asyncio
import resource
import subprocess
import tempfile
from pathlib import Path

from bench.harness import Bench
from cidx_jobs import JobSystem, Settings
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project

PROJECTS = 100
EVERY_SECONDS = 10
ALICE = UserId("alice")

_THOUSAND_A_SECOND = 1_000 / 600
_WARM_UP = 1


def main() -> None:
    """Measure, in rounds of one interval each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench("polls", settings={"projects": PROJECTS, "every_seconds": EVERY_SECONDS}) as bench,
    ):
        values = asyncio.run(_measure(Path(folder), bench.rounds))
        bench.figure("CPU of a poll", values, unit="ms", at_most=30)
        shares = [milliseconds / 1e3 * _THOUSAND_A_SECOND for milliseconds in values]
        bench.figure("1,000 projects, share of a core", shares, unit="ratio", at_most=0.1)


async def _measure(folder: Path, rounds: int) -> list[float]:
    remote = folder / "remotes" / "sample"
    commit = await asyncio.to_thread(_make_repository, remote)
    settings = Settings(data_dir=folder / "data", git_local_roots=(folder / "remotes",))
    async with JobSystem(settings) as jobs:
        for number in range(PROJECTS):
            name = ProjectId(f"p{number}")
            project = Project(
                user_id=ALICE, project_id=name, repository_url=str(remote), last_commit=commit
            )
            await jobs.persistence.projects.save_project(project)
            await jobs.change_project(ALICE, name, sync_every_seconds=EVERY_SECONDS)
        values = []
        for _ in range(_WARM_UP + rounds):
            began = _cpu_seconds()
            await asyncio.sleep(EVERY_SECONDS)
            values.append((_cpu_seconds() - began) / PROJECTS * 1e3)
        assert not await jobs.list()
        assert not jobs.list_notes()
    return values[_WARM_UP:]


def _make_repository(path: Path) -> str:
    path.mkdir(parents=True)
    made_by = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (
        ("init", "--quiet", "--initial-branch=main"),
        (*made_by, "commit", "--quiet", "--allow-empty", "--message=first"),
    ):
        subprocess.run(["git", "-C", path, *arguments], check=True)
    asked = ["git", "-C", str(path), "rev-parse", "HEAD"]
    return subprocess.check_output(asked, text=True).strip()


def _cpu_seconds() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
