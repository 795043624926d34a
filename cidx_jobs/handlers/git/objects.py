"""Reading of `git ls-tree` and `git cat-file`: entries and bytes; blocks, off the loop."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, NoReturn

from cidx_jobs.handlers.git.errors import DAMAGED
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.index import Document, TreeEntry, WantedFile

LIST_TREE = ("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "--end-of-options")
"""The command whose output `read_tree` reads; the commit comes behind it.

Directories are listed too: a few kilobytes can hold so many empty ones that git goes through them
for ever without a word.
"""
READ_FILES = ("cat-file", "--batch")
"""The command that `read_files` talks to."""

MAX_PATH_BYTES = 4_096
"""The longest path; no system of ours has longer ones."""
MEAN_PATH_BYTES = 128
"""What the paths of `max_files` files and their directories may take on average."""

_CHUNK_BYTES = 64 * 1024
# Paths of so many bytes are taken of the smallest repository.
_SPARE_PATH_BYTES = 1024 * 1024
# Mode, kind, name and size stand before a path.
_MAX_RECORD_BYTES = MAX_PATH_BYTES + 256
# Twice so many names fit into a pipe, so writing them never waits for a git that waits for us.
_NAMES_AT_ONCE = 250
_TREE_LINE = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]{40,64}) +(\d+|-)\t(.+)", re.DOTALL)


def read_tree(output: IO[bytes], max_files: int) -> Iterator[TreeEntry]:
    """Yield the entries of a tree, but for its directories, while git still lists them.

    A path that is no UTF-8 is given with its wrong bytes as escapes. A path may come twice, in a
    broken tree or as another's escaped form.

    Raises:
        JobFailure: there are more than *max_files* or as many directories, or their paths are too
            long, each or together (RES-003), or the words are not git's.
    """
    bounds = _TreeBounds(max_files)
    for line in _read_records(output):
        match = _TREE_LINE.fullmatch(line)
        if match is None:
            message = "git listed a tree that cannot be understood"
            raise JobFailure(message, code=DAMAGED)
        mode, kind, blob, size, name = match.groups()
        bounds.count(name, is_directory=kind == b"tree")
        if kind != b"tree":
            path = name.decode("utf-8", "backslashreplace")
            length = None if size == b"-" else int(size)
            yield TreeEntry(path, mode.decode(), blob.decode(), length)


class _TreeBounds:
    """What a tree may hold; a few kilobytes of objects can stand for more than any disk has."""

    def __init__(self, max_files: int) -> None:
        self._max_files = max_files
        self._path_bytes = MEAN_PATH_BYTES * max_files + _SPARE_PATH_BYTES
        self._files = 0
        self._directories = 0

    def count(self, path: bytes, *, is_directory: bool) -> None:
        """Count one entry.

        Raises:
            JobFailure: it is one too many, or too long (RES-003).
        """
        self._directories += is_directory
        self._files += not is_directory
        self._path_bytes -= len(path)
        if self._files > self._max_files:
            _refuse_tree(f"has more than {self._max_files} files")
        if self._directories > self._max_files:
            _refuse_tree(f"has more than {self._max_files} directories")
        if len(path) > MAX_PATH_BYTES:
            _refuse_tree(f"has a path of more than {MAX_PATH_BYTES} bytes")
        if self._path_bytes < 0:
            _refuse_tree(f"has paths of more than {MEAN_PATH_BYTES} bytes for each of max_files")


def read_files(
    requests: IO[bytes], answers: IO[bytes], wanted: Iterable[WantedFile]
) -> Iterator[Document]:
    """Yield the bytes of each file, asked of git, in the same order.

    Raises:
        JobFailure: an object is missing or damaged (GIT-005).
    """
    remaining = iter(wanted)
    asked = _ask(requests, islice(remaining, _NAMES_AT_ONCE))
    while asked:
        # Git knows what is next while its answers are read.
        further = _ask(requests, islice(remaining, _NAMES_AT_ONCE))
        for file in asked:
            yield Document(file.blob, _read_answer(answers, file))
        asked = further


def _ask(requests: IO[bytes], files: Iterable[WantedFile]) -> Sequence[WantedFile]:
    asked = list(files)
    try:
        requests.write("".join(f"{file.blob}\n" for file in asked).encode())
    except BrokenPipeError as error:
        raise _damaged() from error
    return asked


def _read_answer(answers: IO[bytes], file: WantedFile) -> bytes:
    if answers.readline() != f"{file.blob} blob {file.size}\n".encode():
        raise _damaged()
    data = answers.read(file.size + 1)
    if len(data) != file.size + 1 or not data.endswith(b"\n"):
        raise _damaged()
    return data[:-1]


def _read_records(output: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := output.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\0")
        yield from lines
        if len(rest) > _MAX_RECORD_BYTES:
            _refuse_tree(f"has a path of more than {MAX_PATH_BYTES} bytes")
    if rest:
        yield rest


def _refuse_tree(what: str) -> NoReturn:
    message = f"the repository {what}"
    raise JobFailure(message, code="RES-003")


def _damaged() -> JobFailure:
    message = "the copy of the repository lacks files that it should hold"
    return JobFailure(message, code=DAMAGED)
