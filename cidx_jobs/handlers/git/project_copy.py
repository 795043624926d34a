"""A project's copy of its repository: bare, of one branch, shallow, and its own alone."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

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
_PACK_UP_SECONDS = 120.0
# What has gathered is worth packing up when it takes this much, and twice what one pack takes.
_MANY_BYTES = 64 * 1024 * 1024
_PACKING_FILE = "cidx-packing"
_TRY_AGAIN_SECONDS = 86_400.0
# What may be the copy's own fault: then the remote gets a second chance with a new one.
_MAY_BE_THE_COPY = {DAMAGED, NOT_GIT, UNRECOGNISED}
_HEX_OF_SHA1 = 40


@attrs.frozen(kw_only=True)
class Fetched:
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
        self.repository = directory / "repo.git"

    async def prepare(self) -> None:
        """Make the directory, and remove what a run that was killed left in it.

        Two runs of one project never overlap, so whatever is left is nobody's.
        """
        await in_own_thread(self._prepare)

    async def fetch(
        self, access: Access, head: RemoteHead, bounds: FetchBounds, on_line: OnLine
    ) -> Fetched:
        """Bring the copy to *head*; one that is damaged or of another repository is made anew.

        Raises:
            JobFailure: as of `Git.fetch`; the copy is as it was.
        """
        source = _source(access, head)
        if await in_own_thread(self._holds, source):
            if await self._git.find_commit(self.repository, HEAD_REF) == head.commit:
                return Fetched(commit=head.commit, bytes_received=0)
            try:
                return await self._fetch(self.repository, access, head, bounds, on_line)
            except BaseException as error:
                # Half a pack may be large, and the disk may be full of it.
                await in_own_thread(self._remove_leftovers)
                if not _may_be_the_copy(error):
                    raise
        return await self._clone(source, access, head, bounds, on_line)

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
                await in_own_thread(self._remove_leftovers)

    async def remove(self) -> None:
        """Remove the copy, so that the next run clones anew."""
        await in_own_thread(shutil.rmtree, self.repository, ignore_errors=True)

    async def measure(self) -> int:
        """Return the bytes that the copy takes."""
        return await in_own_thread(_count_bytes, self.repository)

    async def clean_up(self) -> None:
        """Remove what this run had in work."""
        await in_own_thread(shutil.rmtree, self._work, ignore_errors=True)

    async def _clone(
        self,
        source: str,
        access: Access,
        head: RemoteHead,
        bounds: FetchBounds,
        on_line: OnLine,
    ) -> Fetched:
        try:
            object_format = "sha1" if len(head.commit) == _HEX_OF_SHA1 else "sha256"
            await self._git.init(self._work, object_format)
            fetched = await self._fetch(self._work, access, head, bounds, on_line)
            await in_own_thread(self._take_over, source)
        finally:
            await self.clean_up()
        return fetched

    async def _fetch(
        self,
        repository: Path,
        access: Access,
        head: RemoteHead,
        bounds: FetchBounds,
        on_line: OnLine,
    ) -> Fetched:
        before = await in_own_thread(_count_pack_bytes, repository)
        await self._git.fetch(access, repository, f"+{head.ref}:{HEAD_REF}", bounds, on_line)
        commit = await self._git.find_commit(repository, HEAD_REF)
        if commit is None:
            message = "what was fetched is no commit that can be read"
            raise JobFailure(message, code=DAMAGED)
        after = await in_own_thread(_count_pack_bytes, repository)
        return Fetched(commit=commit, bytes_received=max(0, after - before))

    def _prepare(self) -> None:
        make_private_directory(self._directory)
        # The time of the last sync, which says whether anybody still uses the copy.
        os.utime(self._directory)
        for left in self._directory.glob(f"{WORK_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        for left in _locks_and_leftovers(self.repository):
            left.unlink(missing_ok=True)

    def _holds(self, source: str) -> bool:
        try:
            return (self.repository / _SOURCE_FILE).read_text("utf-8", "replace") == source
        except OSError:
            return False

    def _take_over(self, source: str) -> None:
        note = self._work / _SOURCE_FILE
        note.touch(mode=_PRIVATE_FILE)
        note.write_text(source, "utf-8")
        if self.repository.exists():
            self.repository.rename(self._work.with_suffix(".old"))
        self._work.rename(self.repository)
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


def _may_be_the_copy(error: BaseException) -> bool:
    return isinstance(error, JobFailure) and error.failure_code in _MAY_BE_THE_COPY


def _locks_and_leftovers(repository: Path) -> Iterator[Path]:
    # A git that was killed leaves its locks, and the next one would respect them.
    yield from repository.glob("*.lock")
    yield from repository.glob("refs/**/*.lock")
    yield from repository.glob("objects/**/tmp_*")
    yield from repository.glob("objects/pack/.tmp-*")


def _packs(repository: Path) -> Iterator[Path]:
    yield from repository.glob("objects/pack/pack-*.pack")


def _count_pack_bytes(repository: Path) -> int:
    return sum(pack.stat().st_size for pack in _packs(repository))


def _count_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
