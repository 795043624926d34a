"""Clean-up at a start: files that a run or a write that was cut off has left.

Only its owner may sweep it, and only once no process of an older server lives: a git that was
not ended may still write into what it works on. Everything here blocks but `sweep`.
"""

import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from cidx_jobs.model.ids import JobId, is_job_id
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import BACKUP_DRAFT_SUFFIX, REMOVED_PREFIX, WORK_PREFIX, DataDirectory
from cidx_jobs.store.index.files import IndexFiles, remove

_UNPUBLISHED = "index.next"
_MAY_BE_LEFT = (WORK_PREFIX, _UNPUBLISHED, "index-")
_DRAFT_OF_INDEX = re.compile(r"index-([0-9a-f-]{36})\.[0-9]+\.db")


async def sweep(
    directory: DataDirectory, is_unfinished: Callable[[JobId], Awaitable[bool]]
) -> int:
    """Remove what nobody will go on with; return how many files and directories that were.

    What a run was working on goes, but for the draft of an index whose job will go on with it.
    """
    swept, drafts = await in_own_thread(_sweep_nobodys, directory)
    for job_id, draft in drafts:
        if not await is_unfinished(job_id):
            await in_own_thread(remove, draft)
            swept += 1
    return swept


def _sweep_nobodys(directory: DataDirectory) -> tuple[int, list[tuple[JobId, Path]]]:
    """Remove what is nobody's; return how much that was, and the drafts that jobs have left."""
    parts = list(_list_parts(directory.projects))
    found = [*_find_nobodys(directory), *filter(_is_nobodys, parts)]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found), list(_find_drafts(parts))


def _find_nobodys(directory: DataDirectory) -> Iterator[Path]:
    yield from directory.root.glob(f"{directory.high_water_mark.stem}.draft")
    yield from directory.backups.glob(f"*{BACKUP_DRAFT_SUFFIX}")
    for file in (directory.server_file, directory.admin_token):
        # Written under the process's id first, then renamed (`web.files`).
        yield from directory.root.glob(f"{file.name}.[0-9]*")
    for places in (directory.projects, directory.programs):
        yield from places.glob(f"{REMOVED_PREFIX}*")


def _list_parts(projects: Path) -> Iterator[Path]:
    """Yield what lies in each copy and may be left over, in one pass: there may be thousands."""
    for copy in _scan(projects):
        if copy.name.startswith(REMOVED_PREFIX) or not copy.is_dir():
            continue
        for part in _scan(copy.path):
            if part.name.startswith(_MAY_BE_LEFT):
                yield Path(part.path)


def _is_nobodys(part: Path) -> bool:
    return part.name.startswith(WORK_PREFIX) or part.name == _UNPUBLISHED


def _find_drafts(parts: Iterable[Path]) -> Iterator[tuple[JobId, Path]]:
    for path in parts:
        match = _DRAFT_OF_INDEX.fullmatch(path.name)
        if match and is_job_id(match[1]) and path != IndexFiles(path.parent).current():
            yield JobId(match[1]), path


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
