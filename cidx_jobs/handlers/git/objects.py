"""Reading of `git ls-tree` and `git cat-file`: entries and bytes; blocks, off the loop."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

from cidx_jobs.handlers.git.errors import DAMAGED
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.index import Document, TreeEntry, WantedFile

LIST_TREE = ("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options")
"""The command whose output `read_tree` reads; the commit comes behind it."""
READ_FILES = ("cat-file", "--batch")
"""The command that `read_files` talks to."""

_CHUNK_BYTES = 64 * 1024
# So many names fit into a pipe, so writing them never waits for a git that waits for us.
_NAMES_AT_ONCE = 500
_TREE_LINE = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]{40,64}) +(\d+|-)\t(.+)", re.DOTALL)


def read_tree(output: IO[bytes], max_files: int) -> Iterator[TreeEntry]:
    """Yield the entries of a tree while git still lists them.

    A path that is no UTF-8 is given with its wrong bytes as escapes. Of a path that comes twice,
    in a broken tree or as another's escaped form, the first entry is given.

    Raises:
        JobFailure: there are more than *max_files* (RES-003), or the words are not git's.
    """
    given: set[str] = set()
    for count, line in enumerate(_read_records(output), start=1):
        if count > max_files:
            message = f"the repository has more than {max_files} files"
            raise JobFailure(message, code="RES-003")
        match = _TREE_LINE.fullmatch(line)
        if match is None:
            message = "git listed a tree that cannot be understood"
            raise JobFailure(message, code=DAMAGED)
        mode, _, blob, size, name = match.groups()
        path = name.decode("utf-8", "backslashreplace")
        if path in given:
            continue
        given.add(path)
        yield TreeEntry(
            path,
            mode.decode(),
            blob.decode(),
            None if size == b"-" else int(size),
        )


def read_files(
    requests: IO[bytes], answers: IO[bytes], wanted: Iterable[WantedFile]
) -> Iterator[Document]:
    """Ask git for the bytes of each file, and return them in the same order.

    Raises:
        JobFailure: an object is missing or damaged (GIT-005).
    """
    remaining = iter(wanted)
    while asked := list(islice(remaining, _NAMES_AT_ONCE)):
        _ask(requests, asked)
        for file in asked:
            yield Document(file.blob, _read_answer(answers, file))


def _ask(requests: IO[bytes], asked: Sequence[WantedFile]) -> None:
    try:
        requests.write("".join(f"{file.blob}\n" for file in asked).encode())
    except BrokenPipeError as error:
        raise _damaged() from error


def _read_answer(answers: IO[bytes], file: WantedFile) -> bytes:
    if answers.readline() != f"{file.blob} blob {file.size}\n".encode():
        raise _damaged()
    data = answers.read(file.size)
    if len(data) != file.size or answers.read(1) != b"\n":
        raise _damaged()
    return data


def _read_records(output: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := output.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\0")
        yield from lines
    if rest:
        yield rest


def _damaged() -> JobFailure:
    message = "the copy of the repository lacks files that it should hold"
    return JobFailure(message, code=DAMAGED)
