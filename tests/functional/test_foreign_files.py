"""Files of a project that the server may not use, as after a restore by another user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cidx_jobs.settings import DataDirectory
from tests.sync_kit import find_copy

NOBODY = 65_534
PROGRAM = """
import asyncio, sys
from pathlib import Path
from cidx_jobs.model.errors import UnavailableError
from tests.sync_kit import ALICE, PROJECT, Syncs, sync_settings
from cidx_jobs.system import JobSystem

async def main(place):
    async with JobSystem(sync_settings(place)) as jobs:
        syncs = Syncs(jobs)
        job = await syncs.sync(str(place / "remotes/code"))
        print(job.error.code if job.error else job.status)
        try:
            print(len(await syncs.search("needle")))
        except UnavailableError:
            print("unavailable")
        print([finding.kind for finding in await jobs.examine()])

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_told_of() -> None:
    """The sync, the search and the doctor say so, and none fails as if it were their own fault."""
    place = Path("/tmp") / f"foreign.{os.getpid()}"  # noqa: S108 - pytest's own is root's alone
    code = place / "remotes/code"
    code.mkdir(parents=True)
    try:
        make_repository(code)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(place)], check=True)
        first = run_as_nobody(place)
        projects = DataDirectory(place / "data").projects
        directory = find_copy(projects)
        subprocess.run(["chown", "-R", "0:0", str(directory)], check=True)
        second = run_as_nobody(place)
    finally:
        shutil.rmtree(place)

    assert first == ["completed", "1", "[]"]
    assert second == ["CFG-005", "unavailable", "['files']"]


def make_repository(place: Path) -> None:
    """Make a repository with one file."""
    (place / "a.txt").write_text("needle\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["init", "--quiet"], ["add", "a.txt"], [*who, "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", "-C", str(place), *command], check=True)


def run_as_nobody(place: Path) -> list[str]:
    """Sync, search and examine as a user without rights; return what came of each."""
    who = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*who, sys.executable, "-c", PROGRAM, str(place)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "CIDX_JOBS_LOG_LEVEL": "error", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("[info")][-3:]
