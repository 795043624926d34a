"""A repository on this machine: which directory git reads, and what that leads on to.

Whoever may push to a repository that is checked out below a root writes files there. So nothing
that lies at a path is believed before it was resolved and held against the roots: links, ``.git``
files, ``commondir``, ``objects/info/alternates`` and what these lead to.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import attrs

from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.foreign import printable

_GIT_FILE = "gitdir:"
_MAX_POINTER_BYTES = 64 * 1024
"""A ``.git`` file or a list of alternates is far smaller; whoever made it may have meant ill."""
_MAX_ALTERNATES = 50
"""A repository that borrows may lead through others without end."""
_PARTS = ("objects", "refs", "HEAD")
_NOT_OURS = "GIT-007"


def find_git_directory(path: str, roots: Sequence[Path]) -> str:
    """Return the git directory of the repository at *path*, with nothing outside of the roots.

    git is to take this directory and look for no other (``upload-pack --strict``).

    Raises:
        JobFailure: there is no directory (GIT-001) or no repository (GIT-003), it leads out of
            the roots, or this server may not read it (GIT-007).
    """
    return _Repository(path, tuple(root.resolve() for root in roots)).find()


@attrs.define
class _Repository:
    path: str
    roots: Sequence[Path]
    _borrowed: set[Path] = attrs.field(factory=set, init=False)
    _walked: set[Path] = attrs.field(factory=set, init=False)

    def find(self) -> str:
        try:
            return str(self._find())
        except (OSError, RuntimeError) as error:
            # A link that leads to itself is a RuntimeError.
            why = getattr(error, "strerror", None) or "a link leads to itself"
            self._refuse(f"cannot be read by this server: {why}", _NOT_OURS)

    def _find(self) -> Path:
        place = self._inside(Path(self.path))
        if not place.is_dir():
            message = f"there is no repository at {printable(self.path)}"
            raise JobFailure(message, code="GIT-001")
        git_directory = self._follow(place)
        self._check_links(git_directory, below=())
        common = self._find_common(git_directory)
        if not all((common / part).exists() for part in _PARTS):
            self._refuse("is no git repository", "GIT-003")
        self._check_links(common, below=("objects", "refs", "info"))
        self._check_objects(common / "objects")
        return git_directory

    def _follow(self, place: Path) -> Path:
        """Return the git directory of a checkout, or the place itself, which may be a bare one."""
        inner = place / ".git"
        if not os.path.lexists(inner):
            return place
        inner = self._inside(inner)
        if inner.is_dir():
            return inner
        told = self._read(inner)
        if not told.startswith(_GIT_FILE):
            self._refuse("has a .git file that names no directory", "GIT-003")
        return self._inside(inner.parent / told.removeprefix(_GIT_FILE).strip())

    def _find_common(self, git_directory: Path) -> Path:
        told = git_directory / "commondir"
        if not told.exists():
            return git_directory
        return self._inside(git_directory / self._read(told).strip())

    def _check_objects(self, objects: Path) -> None:
        """Check the alternates of a directory of objects, and theirs."""
        waiting = [self._inside(objects)]
        while waiting:
            place = waiting.pop()
            if place in self._borrowed:
                continue
            self._borrowed.add(place)
            if len(self._borrowed) > _MAX_ALTERNATES:
                self._refuse("borrows from too many others", _NOT_OURS)
            listed = place / "info" / "alternates"
            if not listed.exists():
                continue
            for line in self._read(listed).split("\n"):
                # A quoted line is git's way to name what holds a line end: never needed here.
                if line.startswith('"'):
                    self._refuse("borrows from a place with an odd name", _NOT_OURS)
                if line and not line.startswith("#"):
                    other = self._inside(place / line)
                    self._check_links(other, below=(".",))
                    waiting.append(other)

    def _check_links(self, directory: Path, below: Sequence[str]) -> None:
        """Check the links in a directory, and those anywhere in its parts *below*."""
        for entry in _list(directory):
            if entry.is_symlink():
                self._inside(Path(entry.path))
        waiting = [self._inside(directory / part) for part in below]
        while waiting:
            place = waiting.pop()
            if place in self._walked:
                continue
            self._walked.add(place)
            for entry in _list(place):
                # A link to a directory may lead to one that holds links of its own.
                real = self._inside(Path(entry.path)) if entry.is_symlink() else Path(entry.path)
                if entry.is_dir():
                    waiting.append(real)

    def _inside(self, place: Path) -> Path:
        real = place.resolve()
        if not any(real.is_relative_to(root) for root in self.roots):
            self._refuse("does not lie where the operator allows it", _NOT_OURS)
        return real

    def _read(self, place: Path) -> str:
        with self._inside(place).open("rb") as file:
            data = file.read(_MAX_POINTER_BYTES + 1)
        if len(data) > _MAX_POINTER_BYTES or b"\0" in data:
            self._refuse("is no git repository", "GIT-003")
        return os.fsdecode(data)

    def _refuse(self, why: str, code: str) -> NoReturn:
        message = f"{printable(self.path)} {why}"
        raise JobFailure(message, code=code)


def _list(directory: Path) -> Sequence[os.DirEntry[str]]:
    if not directory.is_dir():
        return ()
    with os.scandir(directory) as entries:
        return tuple(entries)
