"""Checkout for an index program: the files of a commit in a directory; everything here blocks.

Names come from a repository and are hostile: nothing is written or removed outside of the
directory, whatever the program left in it.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from cidx_jobs.model.ids import JobId
from cidx_jobs.settings import make_private_directory

_FILE, _PROGRAM = 0o600, 0o700
_EXECUTABLE = "100755"
# In the mark: that the directory was emptied (for a job), and that the program was told so. No
# path has a slash at its beginning.
_OF_MARK = "/"
_EMPTIED, _TOLD = "/emptied:", "/told"
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
        """What says that the files are those of no commit, and whose they may be."""
        return self.root.with_suffix(".torn")

    def is_torn(self) -> bool:
        """Return whether somebody began to change the files and did not finish."""
        return self._mark.exists()

    def was_emptied_by(self, job_id: JobId) -> bool:
        """Return whether an earlier run of the job has emptied the directory already."""
        return f"{_EMPTIED}{job_id}" in self._read_mark()

    def begin(
        self,
        gone: Iterable[str],
        list_strays: Callable[[Iterable[str]], Iterable[str]] = lambda _: (),
        empties_for: JobId | None = None,
    ) -> None:
        """Begin to change the files: what is gone is removed.

        Args:
            gone: files of the commit before that are none of the one to come.
            list_strays: gives, of what a run that did not finish may have written, what is not
                to come.
            empties_for: the job for which everything is removed, what a program keeps too.
        """
        make_private_directory(self.root.parent)
        is_first = not self.root.exists()
        if empties_for is not None:
            self._write_mark([f"{_EMPTIED}{empties_for}"], "wb")
            shutil.rmtree(self.root, ignore_errors=True)
        elif is_first:
            self._write_mark([_EMPTIED], "wb")
        strays = list_strays([line for line in self._read_mark() if not line.startswith(_OF_MARK)])
        make_private_directory(self.root)
        gone = [*gone, *strays]
        self.note(gone)
        for path in gone:
            self.remove(path)

    def note(self, paths: Iterable[str]) -> None:
        """Note that these are about to be written or removed; durable when it returns."""
        self._write_mark(paths, "ab")

    def tell_emptied(self) -> bool:
        """Return whether the directory was emptied and the program was not told yet."""
        lines = self._read_mark()
        is_news = any(line.startswith(_EMPTIED) for line in lines) and _TOLD not in lines
        if is_news:
            self.note([_TOLD])
        return is_news

    def finish(self) -> None:
        """Note that the files are those of a commit."""
        self._mark.unlink(missing_ok=True)

    def _read_mark(self) -> list[str]:
        try:
            text = self._mark.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        # The last line may have been cut off in the middle: nothing was done about it yet.
        return text.split("\0")[:-1]

    def _write_mark(self, lines: Iterable[str], mode: str) -> None:
        self._mark.touch(mode=_FILE)
        text = "".join(f"{line}\0" for line in lines)
        with self._mark.open(mode) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())

    def write(self, path: str, mode: str, data: bytes) -> bool:
        """Write a file; False, and nothing written, for a path that no checkout may have.

        One that is there as it shall be keeps its time. What is in the way is replaced: a link, a
        file where a directory shall be, a directory where the file shall be.
        """
        parts = self._names(path)
        if not parts:
            return False
        place = self._directory(parts[:-1]) / parts[-1]
        permissions = _PROGRAM if mode == _EXECUTABLE else _FILE
        if _is_as_wanted(place, permissions, data):
            return True
        _clear(place)
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


def _is_as_wanted(place: Path, permissions: int, data: bytes) -> bool:
    try:
        status = place.lstat()
        is_same = (status.st_mode, status.st_size) == (stat.S_IFREG | permissions, len(data))
        return is_same and place.read_bytes() == data
    except OSError:
        return False


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
