"""Clean-up at a start: files that a run or a write that was cut off has left.

Only its owner may sweep it, and only once no process of an older server lives: a git that was
not ended may still write into what it works on. Everything here blocks but `sweep`.
"""

import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from cidx_jobs.model.ids import JobId, is_job_id
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import BACKUP_DRAFT_SUFFIX, REMOVED_PREFIX, WORK_PREFIX, DataDirectory
from cidx_jobs.store.index.files import IndexFiles, remove

_DRAFT_OF_INDEX = re.compile(r"index-([0-9a-f-]{36})\.[0-9]+\.db")


async def sweep(
    directory: DataDirectory, is_unfinished: Callable[[JobId], Awaitable[bool]]
) -> int:
    """Remove what nobody will go on with; return how many files and directories that were.

    What a run was working on goes, but for the draft of an index whose job will go on with it.
    """
    swept = await in_own_thread(_sweep_nobodys, directory)
    for job_id, draft in await in_own_thread(_list_drafts, directory.projects):
        if not await is_unfinished(job_id):
            await in_own_thread(remove, draft)
            swept += 1
    return swept


def _sweep_nobodys(directory: DataDirectory) -> int:
    found = list(_find_nobodys(directory))
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found)


def _find_nobodys(directory: DataDirectory) -> Iterator[Path]:
    yield from directory.root.glob(f"{directory.high_water_mark.stem}.draft")
    yield from directory.backups.glob(f"*{BACKUP_DRAFT_SUFFIX}")
    for file in (directory.server_file, directory.admin_token):
        # Written under the process's id first, then renamed (`web.files`).
        yield from directory.root.glob(f"{file.name}.[0-9]*")
    for places in (directory.projects, directory.programs):
        yield from places.glob(f"{REMOVED_PREFIX}*")
    yield from directory.projects.glob(f"*/{WORK_PREFIX}*")
    yield from directory.projects.glob("*/index.next")


def _list_drafts(projects: Path) -> list[tuple[JobId, Path]]:
    drafts = []
    for path in projects.glob("*/index-*.db"):
        match = _DRAFT_OF_INDEX.fullmatch(path.name)
        if match and is_job_id(match[1]) and path != IndexFiles(path.parent).current():
            drafts.append((JobId(match[1]), path))
    return drafts
