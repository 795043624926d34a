"""Checkout for an index program: the files of a commit in a directory; everything here blocks.

Names come from a repository and are hostile: nothing is written or removed outside of the
directory, whatever the program left in it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from cidx_jobs.settings import make_private_directory

_FILE, _PROGRAM = 0o600, 0o700
_EXECUTABLE = "100755"
_NOT_NAMES = {"", ".", "..", ".git"}
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 4_095


class FileTree:
    """A directory with files of a repository."""

    def __init__(self, root: Path) -> None:
        """Take the directory; it is made by the first file."""
        self.root = root

    @property
    def _mark(self) -> Path:
        return self.root.with_suffix(".torn")

    def is_torn(self) -> bool:
        """Return whether somebody began to change the files and did not finish."""
        return self._mark.exists()

    def begin(self, gone: Iterable[str], *, is_new: bool) -> None:
        """Begin to change the files: what is gone is removed, or everything where all is new."""
        make_private_directory(self.root.parent)
        self._mark.touch(mode=_FILE)
        if is_new:
            shutil.rmtree(self.root, ignore_errors=True)
        make_private_directory(self.root)
        for path in gone:
            self.remove(path)

    def finish(self) -> None:
        """Note that the files are those of a commit."""
        self._mark.unlink(missing_ok=True)

    def write(self, path: str, mode: str, data: bytes) -> bool:
        """Write a file; False, and nothing written, for a path that no checkout may have.

        What is in the way is replaced: a link, a file where a directory shall be, a directory
        where the file shall be.
        """
        parts = self._names(path)
        if not parts:
            return False
        place = self._directory(parts[:-1]) / parts[-1]
        _clear(place)
        permissions = _PROGRAM if mode == _EXECUTABLE else _FILE
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(place, flags, permissions)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return True

    def remove(self, path: str) -> None:
        """Remove a file, and the directories that become empty by it."""
        parts = self._names(path)
        if not parts:
            return
        place = self.root
        for part in parts:
            if place.is_symlink():
                return
            place /= part
        with contextlib.suppress(OSError):
            place.unlink()
        for directory in place.parents:
            if directory == self.root or not _is_removed(directory):
                return

    def _names(self, path: str) -> list[str]:
        """Return the names that lead to a file; none where no checkout may have it."""
        names = path.split("/")
        is_short = len(f"{self.root.absolute()}/{path}".encode()) <= _MAX_PATH_BYTES
        return names if is_short and all(map(_is_name, names)) else []

    def _directory(self, parts: list[str]) -> Path:
        place = self.root
        for part in parts:
            place /= part
            if place.is_symlink() or not place.is_dir():
                _clear(place)
                place.mkdir(mode=_PROGRAM)
        return place


def _is_name(part: str) -> bool:
    return part.lower() not in _NOT_NAMES and len(part.encode()) <= _MAX_NAME_BYTES


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _is_removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True
