"""Files of a project's index: databases with names of their own, and a pointer to one of them.

A draft is a file under the name of its run. A pointer, replaced by one rename, makes it the index.
A database is never renamed onto another's name: what is left of the other's write-ahead log would
be taken for its own.
"""

import os
import shutil
from pathlib import Path

from cidx_jobs.settings import make_private_directory

_PREFIX = "index-"
_SUFFIX = ".db"
_COMPANIONS = ("", "-wal", "-shm")
_PRIVATE_FILE = 0o600


class IndexFiles:
    """The index files in the directory of one project; everything here blocks."""

    def __init__(self, directory: Path) -> None:
        """Take the project's directory, which need not be there."""
        self._directory = directory
        self._pointer = directory / "index.current"
        self._damaged = directory / "index.damaged"

    def current(self) -> Path | None:
        """Return the index that searches see."""
        name = self._read_pointer()
        while name is not None:
            path = self._directory / name
            if path.is_file():
                return path
            # It was replaced since the pointer was read, or it is lost.
            name, before = self._read_pointer(), name
            if name == before:
                return None
        return None

    def mark_damaged(self, path: Path) -> None:
        """Remember that *path* is damaged, so that the next sync makes it anew."""
        self._damaged.touch(mode=_PRIVATE_FILE)
        self._damaged.write_text(path.name, "utf-8")

    def is_damaged(self, path: Path) -> bool:
        """Return whether *path* was found to be damaged."""
        try:
            return self._damaged.read_text("utf-8", "replace") == path.name
        except FileNotFoundError:
            return False

    def take_draft(self, job_id: str, run: int) -> Path:
        """Return the file for the draft of a run: its job's last one, renamed, if there is one."""
        make_private_directory(self._directory)
        own = self._directory / f"{_PREFIX}{job_id}.{run}{_SUFFIX}"
        for earlier in self._drafts(job_id):
            if earlier != own:
                _move(earlier, own)
        return own

    def make_current(self, path: Path) -> None:
        """Let searches see *path* from now on, durably, and remove what they saw before.

        A search that was about to open the one before finds it gone and looks again.
        """
        before = self.current()
        _sync(path)
        fresh = self._pointer.with_suffix(".next")
        fresh.touch(mode=_PRIVATE_FILE)
        fresh.write_text(path.name, "utf-8")
        _sync(fresh)
        fresh.replace(self._pointer)
        _sync(self._directory)
        self._damaged.unlink(missing_ok=True)
        if before not in {None, path}:
            remove(before)

    def sweep(self, job_id: str) -> None:
        """Remove what lies here of other indexes, but for the drafts of *job_id*."""
        kept = {str(path) for path in (self.current(), *self._drafts(job_id)) if path}
        for path in self._directory.glob(f"{_PREFIX}*"):
            if str(path).removesuffix("-wal").removesuffix("-shm") not in kept:
                path.unlink(missing_ok=True)

    def _read_pointer(self) -> str | None:
        try:
            name = self._pointer.read_text("utf-8", "replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return name if Path(name).name == name and name.startswith(_PREFIX) else None

    def _drafts(self, job_id: str) -> list[Path]:
        current = self.current()
        found = self._directory.glob(f"{_PREFIX}{job_id}.*{_SUFFIX}")
        return sorted(path for path in found if path != current)


def remove(path: Path | None) -> None:
    """Remove a database with its companions; no error when it is not there."""
    if path is not None:
        for companion in _COMPANIONS:
            Path(f"{path}{companion}").unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    remove(target)
    # The shared memory file is made anew from the log by whoever opens the database.
    Path(f"{source}-shm").unlink(missing_ok=True)
    if Path(f"{source}-wal").exists():
        shutil.move(f"{source}-wal", f"{target}-wal")
    source.rename(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
