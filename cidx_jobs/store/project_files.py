"""Directories of projects, removed at once: renamed first, deleted then."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from typing_extensions import override

from cidx_jobs.interfaces.store.files import ProjectFiles
from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import REMOVED_PREFIX, DataDirectory, project_directory

_USABLE = os.R_OK | os.W_OK | os.X_OK


class ProjectDirectories(ProjectFiles):
    """Where the copies and indexes of all projects lie (`ProjectFiles`)."""

    def __init__(self, directory: DataDirectory) -> None:
        """Take the data directory."""
        self._roots = (directory.projects, directory.programs)
        self._leaving: dict[tuple[UserId, ProjectId], asyncio.Future[bool]] = {}

    @override
    async def take_away(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Rename the directories, each into one that is nobody's; False: there is none."""
        key = (user_id, project_id)
        leaving = self._leaving.get(key)
        if leaving is None:
            places = self._places(user_id, project_id)
            leaving = asyncio.create_task(in_own_thread(_rename, places), name="take-away")
            self._leaving[key] = leaving
            leaving.add_done_callback(lambda _: self._leaving.pop(key))
        # The thread goes on, also without a caller.
        return await asyncio.shield(leaving)

    @override
    async def settle(self, user_id: UserId, project_id: ProjectId) -> None:
        while (leaving := self._leaving.get((user_id, project_id))) is not None:
            await asyncio.wait([leaving])

    @override
    def has_foreign(self, user_id: UserId, project_id: ProjectId) -> bool:
        return any(map(_is_foreign, self._places(user_id, project_id)))

    @override
    def find_unused(self, projects: Sequence[Project], before: datetime) -> Sequence[Project]:
        oldest = before.timestamp()
        return [
            project
            for project in projects
            if 0 < self._last_used(project.user_id, project.project_id) < oldest
        ]

    @override
    def take_nobodys(self, projects: Sequence[Project]) -> None:
        # Nobody's name is that of a project that comes meanwhile: it is made of user and project.
        known = {self._home(project.user_id, project.project_id) for project in projects}
        _rename([place for place in self._roots[0].glob("*/") if _is_nobodys(place, known)])

    @override
    def clear(self) -> None:
        for root in self._roots:
            for removed in root.glob(f"{REMOVED_PREFIX}*"):
                shutil.rmtree(removed, ignore_errors=True)

    def _last_used(self, user_id: UserId, project_id: ProjectId) -> float:
        """Return the time of the last sync, in seconds of the epoch; 0 where there is nothing."""
        found = (_changed_at(place) for place in self._places(user_id, project_id))
        return max(found, default=0.0)

    def _home(self, user_id: UserId, project_id: ProjectId) -> Path:
        return project_directory(self._roots[0], user_id, project_id)

    def _places(self, user_id: UserId, project_id: ProjectId) -> Sequence[Path]:
        return [project_directory(root, user_id, project_id) for root in self._roots]


def _rename(places: Sequence[Path]) -> bool:
    taken = False
    for place in places:
        removed = place.with_name(f"{REMOVED_PREFIX}{place.name}.{secrets.token_hex(4)}")
        try:
            place.rename(removed)
        except FileNotFoundError:
            continue
        taken = True
    return taken


def _is_nobodys(place: Path, known: Collection[Path]) -> bool:
    return place not in known and not place.name.startswith(REMOVED_PREFIX)


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


def _changed_at(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0
