"""What a repository calls the encodings of its files: its ``.gitattributes``, read by git."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cidx_jobs.handlers.git.commands import LOCAL_SECONDS, Git
from cidx_jobs.handlers.process.children import ChildStream
from cidx_jobs.model.index import WantedFile
from cidx_jobs.runtime.blocking import in_own_thread

_MENTIONS = ("grep", "-l", "-I", "-z", "-F", "-e", "encoding")
_ATTRIBUTE_FILES = ("--", ":(glob)**/.gitattributes")
_ATTRIBUTES = ("working-tree-encoding", "encoding")
_CHECK = ("check-attr", "-z", "--cached", "--stdin", *_ATTRIBUTES)
_NO_ENCODING = {b"unspecified", b"unset", b"set", b""}
_FIELDS = 3
"""Of an answer: the path, the attribute, its value."""
# Two answers for each path fit into a pipe, so neither end waits for the other.
_ASKED_BYTES = 8 * 1024
_ASKED_PATHS = 100
_CHUNK_BYTES = 64 * 1024


class Encodings:
    """Finds the encodings that one tree names; most name none, and then nothing is asked."""

    def __init__(self, git: Git, repository: Path, tree: str) -> None:
        """Take the tree, and the copy that holds it."""
        self._git = git
        self._repository = repository
        self._tree = tree
        self._index = repository / "index"
        self._is_named = False

    async def prepare(self) -> None:
        """Look whether the tree names encodings, and let git read its attributes if so."""
        mentioned = await self._run([*_MENTIONS, self._tree, *_ATTRIBUTE_FILES])
        if mentioned:
            # git reads attributes of a bare repository from an index alone.
            self._is_named = await self._run(["read-tree", self._tree]) is not None

    async def find(self, files: Sequence[WantedFile]) -> Mapping[str, str]:
        """Return the encodings of those files that have a name for theirs, by path."""
        if not self._is_named:
            return {}
        paths = [file.path.encode() for file in files]
        async with self._git.stream(self._repository, _CHECK, LOCAL_SECONDS) as child:
            found = await in_own_thread(_ask, child, paths)
            await child.wait()
        return found

    async def forget(self) -> None:
        """Remove what git needed."""
        if self._is_named:
            await in_own_thread(self._index.unlink, missing_ok=True)

    async def _run(self, arguments: Sequence[str]) -> bytes | None:
        """Return what a command says, or None where it fails: git refuses some paths of trees."""
        async with self._git.stream(self._repository, arguments, LOCAL_SECONDS) as child:
            said = await in_own_thread(child.output.read)
            ended = await child.wait()
        return said if ended.returncode == 0 else None


def _ask(child: ChildStream, paths: Sequence[bytes]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(BrokenPipeError):
        for asked in _portions(paths):
            child.input.write(b"".join(path + b"\0" for path in asked))
            for path, value in _read(child, len(asked) * len(_ATTRIBUTES)):
                if value not in _NO_ENCODING:
                    found.setdefault(path.decode(), value.decode("ascii", "replace"))
        child.input.close()
    return found


def _portions(paths: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    portion: list[bytes] = []
    taken = 0
    for path in paths:
        if len(path) > _ASKED_BYTES:
            continue
        if portion and (taken + len(path) > _ASKED_BYTES or len(portion) >= _ASKED_PATHS):
            yield portion
            portion, taken = [], 0
        portion.append(path)
        taken += len(path)
    if portion:
        yield portion


def _read(child: ChildStream, answers: int) -> Iterator[tuple[bytes, bytes]]:
    rest = b""
    fields: list[bytes] = []
    while len(fields) < answers * _FIELDS:
        chunk = os.read(child.output.fileno(), _CHUNK_BYTES)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\0")
        fields += whole
    for start in range(0, len(fields) - _FIELDS + 1, _FIELDS):
        yield fields[start], fields[start + 2]
