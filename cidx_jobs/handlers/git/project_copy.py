"""A project's copy of its repository: bare, of one branch, shallow, and its own alone.

What is fetched comes into a quarantine first: a directory of the run's own, which holds the
copy's files by hard links, for git writes none in place. It becomes the copy once the commit is
whole and within all bounds. What fails, is refused or cut off before leaves the copy as it was.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cidx_jobs.handlers.git.commands import FetchBounds, Git, RemoteHead
from cidx_jobs.handlers.git.errors import DAMAGED, NOT_GIT, UNRECOGNISED
from cidx_jobs.handlers.git.shields import Access
from cidx_jobs.handlers.process.output import OnLine
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import WORK_PREFIX, make_private_directory

HEAD_REF = "refs/cidx/head"
"""The commit that was fetched last."""
INDEXED_REF = "refs/cidx/indexed"
"""The commit that was indexed last; it keeps what a comparison with it needs."""

_SOURCE_FILE = "cidx-source.json"
_PRIVATE_FILE = 0o600
_MAX_PACKS = 20
"""Each fetch leaves a pack, and git looks into each: beyond so many they are packed up."""
_PACK_UP_SECONDS = 120.0
# What has gathered is worth packing up when it takes this much, and twice what one pack takes.
_MANY_BYTES = 64 * 1024 * 1024
_PACKING_FILE = "cidx-packing"
_TRY_AGAIN_SECONDS = 86_400.0
# What may be the copy's own fault: then the remote gets a second chance with a new one.
_MAY_BE_THE_COPY = {DAMAGED, NOT_GIT, UNRECOGNISED}
_HEX_OF_SHA1 = 40


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch brought."""

    commit: str
    bytes_received: int


class ProjectCopy:
    """The copy in the directory of one project, as one run sees it."""

    def __init__(self, directory: Path, git: Git, run_name: str) -> None:
        """Take the project's directory, and a name that no other run has."""
        self._directory = directory
        self._git = git
        self._work = directory / f"{WORK_PREFIX}{run_name}"
        self._settled = directory / "repo.git"
        self._quarantined: str | None = None
        self._bytes_before = 0

    @property
    def repository(self) -> Path:
        """Where to look for commits: the quarantine, while there is one, else the copy."""
        return self._settled if self._quarantined is None else self._work

    async def prepare(self) -> None:
        """Make the directory, and remove what a run that was killed left in it.

        Two runs of one project never overlap, so whatever is left is nobody's.
        """
        await in_own_thread(self._prepare)

    async def fetch(
        self, access: Access, head: RemoteHead, bounds: FetchBounds, on_line: OnLine
    ) -> Fetched:
        """Bring *head* into the quarantine; what it shares with the copy is not fetched again.

        A copy that is damaged, of another repository, or larger than *bounds* is not gone on with.

        Raises:
            JobFailure: as of `Git.fetch`; the copy is as it was.
        """
        source = _source(access, head)
        if await in_own_thread(self._holds, source, bounds.max_bytes):
            try:
                await in_own_thread(self._begin_with_the_copy, source)
                return await self._fetch(access, head, bounds, on_line)
            except JobFailure as failure:
                if failure.failure_code not in _MAY_BE_THE_COPY:
                    raise
                await self.clean_up()
        self._quarantined, self._bytes_before = source, 0
        object_format = "sha1" if len(head.commit) == _HEX_OF_SHA1 else "sha256"
        await self._git.init(self._work, object_format)
        return await self._fetch(access, head, bounds, on_line)

    async def fetch_module(
        self, access: Access, commit: str, ref: str, bounds: FetchBounds, on_line: OnLine
    ) -> None:
        """Bring the *commit* of a submodule into the quarantine; *ref* then names it.

        All fetches of a run share the bytes of *bounds*.

        Raises:
            JobFailure: as of `Git.fetch`, or nothing is left of the bytes (RES-004), or what came
                is no commit (GIT-001); the quarantine is as it was.
        """
        packed = await in_own_thread(_list_packed, self._work)
        try:
            await self._fetch_module(access, commit, ref, bounds, on_line)
        except JobFailure:
            await self._git.forget(self._work, ref)
            await in_own_thread(_remove_since, self._work, packed)
            raise

    def count_received(self) -> int:
        """Return the bytes that came into the quarantine; blocks."""
        return max(0, _count_bytes(self.repository / "objects") - self._bytes_before)

    async def accept(self) -> None:
        """Let the quarantine, if there is one, be the copy from now on."""
        if self._quarantined is not None:
            await in_own_thread(self._take_over, self._quarantined)
            self._quarantined = None

    async def remember_indexed(self, commit: str, max_bytes: int) -> None:
        """Keep *commit* for the next comparison, and pack up what has gathered.

        No file that comes of it is larger than *max_bytes*.
        """
        await self._git.point(self.repository, INDEXED_REF, commit)
        if await in_own_thread(self._begin_packing):
            # What cannot be packed up in time, or kills the server, is left alone for a day.
            bounds = FetchBounds(depth=0, max_bytes=max_bytes, timeout=_PACK_UP_SECONDS)
            try:
                await self._git.pack_up(self.repository, bounds)
                await in_own_thread(self._packing.unlink, missing_ok=True)
            except JobFailure:
                await in_own_thread(_remove_leftovers, self.repository)

    async def remove(self) -> None:
        """Remove the copy, so that the next run clones anew."""
        await self.clean_up()
        await in_own_thread(shutil.rmtree, self._settled, ignore_errors=True)

    async def measure(self) -> int:
        """Return the bytes that the copy takes."""
        return await in_own_thread(_count_bytes, self.repository)

    async def clean_up(self) -> None:
        """Remove the quarantine, if there is one, and with it what was not accepted."""
        self._quarantined = None
        await in_own_thread(self._clean_up)

    async def _fetch(
        self, access: Access, head: RemoteHead, bounds: FetchBounds, on_line: OnLine
    ) -> Fetched:
        if await self._git.find_commit(self._work, HEAD_REF) == head.commit:
            return Fetched(commit=head.commit, bytes_received=0)
        before = await in_own_thread(_count_pack_bytes, self._work)
        await self._git.fetch(access, self._work, f"+{head.ref}:{HEAD_REF}", bounds, on_line)
        commit = await self._git.find_commit(self._work, HEAD_REF)
        if commit is None:
            message = "what was fetched is no commit that can be read"
            raise JobFailure(message, code=DAMAGED)
        await self._find_room(bounds)
        after = await in_own_thread(_count_pack_bytes, self._work)
        return Fetched(commit=commit, bytes_received=max(0, after - before))

    async def _fetch_module(
        self, access: Access, commit: str, ref: str, bounds: FetchBounds, on_line: OnLine
    ) -> None:
        room = await self._find_room(bounds)
        await self._git.fetch(access, self._work, f"+{commit}:{ref}", room, on_line)
        await self._find_room(bounds)
        if await self._git.find_commit(self._work, ref) != commit:
            message = "what it names is no commit"
            raise JobFailure(message, code="GIT-001")

    async def _find_room(self, bounds: FetchBounds) -> FetchBounds:
        come = await in_own_thread(self.count_received)
        if come >= bounds.max_bytes:
            message = f"what was fetched is larger than max_repository_bytes ({bounds.max_bytes})"
            raise JobFailure(message, code="RES-004")
        return msgspec.structs.replace(bounds, max_bytes=bounds.max_bytes - come)

    def _clean_up(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        # Of a first fetch that failed nothing stays.
        with contextlib.suppress(OSError):
            self._directory.rmdir()

    def _begin_with_the_copy(self, source: str) -> None:
        self._quarantined = source
        shutil.copytree(self._settled, self._work, symlinks=True, copy_function=_link)
        self._bytes_before = _count_bytes(self._work / "objects")

    def _prepare(self) -> None:
        make_private_directory(self._directory)
        # The time of the last sync, which says whether anybody still uses the copy.
        os.utime(self._directory)
        for left in self._directory.glob(f"{WORK_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        _remove_leftovers(self._settled)

    def _holds(self, source: str, max_bytes: int) -> bool:
        try:
            its_source = (self._settled / _SOURCE_FILE).read_text("utf-8", "replace")
        except OSError:
            return False
        # What has gathered over many fetches is dropped where it became more than one may bring.
        return its_source == source and _count_bytes(self._settled / "objects") <= max_bytes

    def _take_over(self, source: str) -> None:
        note = self._work / _SOURCE_FILE
        if not note.exists():
            note.touch(mode=_PRIVATE_FILE)
            note.write_text(source, "utf-8")
        if self._settled.exists():
            self._settled.rename(self._work.with_suffix(".old"))
        self._work.rename(self._settled)
        shutil.rmtree(self._work.with_suffix(".old"), ignore_errors=True)

    @property
    def _packing(self) -> Path:
        return self.repository / _PACKING_FILE

    def _begin_packing(self) -> bool:
        packs = [pack.stat().st_size for pack in _packs(self.repository)]
        is_large = sum(packs) > max(_MANY_BYTES, 2 * max(packs, default=0))
        if len(packs) <= _MAX_PACKS and not is_large:
            return False
        try:
            if time.time() - self._packing.stat().st_mtime < _TRY_AGAIN_SECONDS:
                return False
        except FileNotFoundError:
            pass
        self._packing.touch(mode=_PRIVATE_FILE)
        return True


def _source(access: Access, head: RemoteHead) -> str:
    return json.dumps({"url": access.remote.url, "hex_digits": len(head.commit)})


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Not every file system has hard links.
        shutil.copy2(source, target)


def _locks_and_leftovers(repository: Path) -> Iterator[Path]:
    # A git that was killed leaves its locks, and the next one would respect them.
    yield from repository.glob("*.lock")
    yield from repository.glob("refs/**/*.lock")
    yield from repository.glob("objects/**/tmp_*")
    yield from repository.glob("objects/pack/.tmp-*")


def _remove_leftovers(repository: Path) -> None:
    for left in _locks_and_leftovers(repository):
        left.unlink(missing_ok=True)


def _list_packed(repository: Path) -> frozenset[Path]:
    return frozenset(repository.glob("objects/pack/*"))


def _remove_since(repository: Path, packed: frozenset[Path]) -> None:
    """Remove what a fetch that failed has left, of which no ref knows."""
    for left in _list_packed(repository) - packed:
        left.unlink(missing_ok=True)
    _remove_leftovers(repository)


def _packs(repository: Path) -> Iterator[Path]:
    yield from repository.glob("objects/pack/pack-*.pack")


def _count_pack_bytes(repository: Path) -> int:
    return sum(pack.stat().st_size for pack in _packs(repository))


def _count_bytes(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        # git renames and removes files while it works.
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
