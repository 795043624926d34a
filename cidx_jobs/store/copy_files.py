"""Directories of copies, removed at once: renamed first, deleted then."""

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

from typing_extensions import override

from cidx_jobs.interfaces.store.files import CopyFiles, ProjectKey
from cidx_jobs.interfaces.store.projects import ProjectStore
from cidx_jobs.model.ids import CopyId
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.runtime.shielded import finish
from cidx_jobs.settings import REMOVED_PREFIX, DataDirectory

_USABLE = os.R_OK | os.W_OK | os.X_OK


class CopyDirectories(CopyFiles):
    """Where the copies and their indexes lie (`CopyFiles`)."""

    def __init__(self, directory: DataDirectory, projects: ProjectStore) -> None:
        """Take the data directory, and which projects use what lies there."""
        self._projects = projects
        self._roots = (directory.projects, directory.programs)
        # Kept for as long as somebody works there or waits.
        self._holds: WeakValueDictionary[CopyId, asyncio.Lock] = WeakValueDictionary()

    @override
    @contextlib.asynccontextmanager
    async def hold(self, copy_id: CopyId) -> AsyncIterator[None]:
        async with self._holds.setdefault(copy_id, asyncio.Lock()):
            yield

    @override
    def is_held(self, copy_id: CopyId) -> bool:
        held = self._holds.get(copy_id)
        return held is not None and held.locked()

    @override
    def take_over(self, old: CopyId, new: CopyId) -> bool:
        if any(place.exists() for place in self._places(new)):
            return False
        taken = False
        for place, target in zip(self._places(old), self._places(new), strict=True):
            with contextlib.suppress(FileNotFoundError):
                place.rename(target)
                taken = True
        return taken

    @override
    async def release(self, copy_id: CopyId, but: Collection[ProjectKey] = ()) -> bool:
        if self.is_held(copy_id):
            return False
        async with self.hold(copy_id):
            named = {
                project.copy_id
                for project in await self._projects.list_projects(None)
                if (project.user_id, project.project_id) not in but
            }
            if copy_id in named or not await finish(in_own_thread(self._take_away, copy_id)):
                return False
        await in_own_thread(self.clear)
        return True

    @override
    def has_foreign(self, copy_id: CopyId) -> bool:
        return any(map(_is_foreign, self._places(copy_id)))

    @override
    async def find_unused(self, before: datetime) -> Sequence[CopyId]:
        return await in_own_thread(self._find_unused, before.timestamp())

    def _find_unused(self, oldest: float) -> Sequence[CopyId]:
        found = {
            CopyId(place.name)
            for root in self._roots
            for place in root.glob("*/")
            if not place.name.startswith(REMOVED_PREFIX)
        }
        return [copy_id for copy_id in sorted(found) if self._last_used(copy_id) < oldest]

    @override
    def clear(self) -> None:
        for root in self._roots:
            for removed in root.glob(f"{REMOVED_PREFIX}*"):
                shutil.rmtree(removed, ignore_errors=True)

    def _take_away(self, copy_id: CopyId) -> bool:
        taken = False
        for place in self._places(copy_id):
            removed = place.with_name(f"{REMOVED_PREFIX}{place.name}.{secrets.token_hex(4)}")
            with contextlib.suppress(FileNotFoundError):
                place.rename(removed)
                taken = True
        return taken

    def _last_used(self, copy_id: CopyId) -> float:
        """Return the time of the last sync, in seconds of the epoch; 0 where there is nothing."""
        return max(map(changed_at, self._places(copy_id)))

    def _places(self, copy_id: CopyId) -> Sequence[Path]:
        return [root / copy_id for root in self._roots]


def changed_at(place: Path) -> float:
    """Return when a directory was last touched, in seconds of the epoch; 0 where there is none."""
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_foreign(place: Path) -> bool:
    if not os.path.lexists(place):
        return False
    if not os.access(place, _USABLE):
        return True
    # What cannot be listed is left out by a walk: its parent's entry tells of it.
    for directory, below, files in os.walk(place):
        if not all(os.access(f"{directory}/{name}", _USABLE) for name in below):
            return True
        if not all(_is_readable(Path(directory, name)) for name in files):
            return True
    return False


def _is_readable(file: Path) -> bool:
    # A link may lead nowhere, and a file may be gone since it was listed.
    return os.access(file, os.R_OK) or file.is_symlink() or not file.exists()
