"""Index kept by an operator's program: it gets the files, and reports its progress.

The files of the last synced commit lie in a directory of the project, and the program runs there.
Only files that changed are written anew, so a program that goes by times, or keeps things of its
own in the directory, can do so. What it makes of them is its own: there is nothing to search here.
"""

import contextlib
import math
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.index import IndexDraft, Indexer
from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.errors import JobFailure, NotIndexedError
from cidx_jobs.model.ids import JobId, ProjectId, UserId
from cidx_jobs.model.index import (
    Document,
    IndexState,
    Publication,
    SearchPage,
    SearchPlace,
    SkippedFile,
    TreeChanges,
    TreeEntry,
    WantedFile,
)
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.redact import redact
from cidx_jobs.settings import DataDirectory, Settings, project_directory
from cidx_jobs.store.index.draft import FtsDraft
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.program_files import FileTree

_SECONDS = 30 * 86_400.0
# The program starts among foreign files. Python would take modules from where it is started, or
# lies; git would take a directory that looks like a bare repository for one, with its commands.
_AMONG_STRANGERS = {
    "PYTHONSAFEPATH": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.bareRepository",
    "GIT_CONFIG_VALUE_0": "explicit",
}
_COUNT = re.compile(r"(?<!\d)(\d{1,12})\s{0,8}(?:/|of)\s{0,8}(\d{1,12})")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d{1,12})?\s{0,8}%")
_KIBIBYTE = 1024
_SHOWN_CHARACTERS = 200


class ProgramRunner(Protocol):
    """Runs supervised children."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - as in `JobContext.run`
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> ChildResult:
        """Run one to its good end, as `JobContext.run`."""


FindRunner = Callable[[], ProgramRunner | None]
"""Returns who runs children; None before the server is open."""


def make_indexer(settings: Settings, find_runner: FindRunner) -> Indexer:
    """Return the indexer of the settings: the built-in one, or the operator's program."""
    directory = DataDirectory(settings.data_dir)
    if settings.index_command is None:
        return FtsIndexer(directory.projects)
    return CommandIndexer(
        directory.programs,
        settings.index_command,
        find_runner,
        memory_bytes=settings.index_command_memory_bytes,
    )


class CommandIndexer(Indexer):
    """Hands the files of projects to a program (`Indexer`).

    The program runs in the directory with the files, with ``CIDXJ_COMMIT``, ``CIDXJ_PROJECT``,
    ``CIDXJ_USER`` and ``CIDXJ_FULL`` (1 when it shall begin anew, else 0) in its environment.
    ``17/300`` or ``17 of 300`` or ``6 %`` in a line of its output is its progress. An end with
    another code than 0 is a failure, and the next sync tries again.
    """

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        find_runner: FindRunner,
        *,
        memory_bytes: int,
    ) -> None:
        """Keep the files of all projects below *directory*, and run *command* there.

        Each of its processes may take *memory_bytes* of address space; 0 is as much as there is.
        """
        self._directory = directory
        self._command = tuple(command)
        self._memory_bytes = memory_bytes
        self._find_runner = find_runner
        # Which file is where is known from an index of the built-in kind, without texts.
        self._known = FtsIndexer(directory)

    @override
    async def load_state(self, user_id: UserId, project_id: ProjectId) -> IndexState | None:
        """Return what the program was given last."""
        return await self._known.load_state(user_id, project_id)

    @override
    @contextlib.asynccontextmanager
    async def draft(
        self, user_id: UserId, project_id: ProjectId, *, job_id: JobId, run: int, full: bool
    ) -> AsyncIterator["CommandDraft"]:
        """Begin to give the program the next commit."""
        tree = FileTree(project_directory(self._directory, user_id, project_id) / "tree")
        # What an unfinished draft wrote belongs to no commit that is known: begin anew.
        is_torn = await self._known.do(tree.is_torn)
        environment = {"CIDXJ_PROJECT": project_id, "CIDXJ_USER": user_id}
        async with self._known.draft(
            user_id, project_id, job_id=job_id, run=run, full=full or is_torn
        ) as known:
            program = Program(
                self._command, self._find_runner, tree.root, environment, self._memory_bytes
            )
            yield CommandDraft(known, tree, program)

    @override
    async def search(
        self,
        user_id: UserId,
        project_id: ProjectId,
        text: str,
        *,
        limit: int,
        path_prefix: str = "",
        after: SearchPlace | None = None,
    ) -> SearchPage:
        """Raise `NotIndexedError`: only the program can search what it made."""
        del user_id, text, limit, path_prefix, after
        raise NotIndexedError(project_id)

    @override
    async def list_skipped(
        self, user_id: UserId, project_id: ProjectId, *, limit: int, after: str = ""
    ) -> Sequence[SkippedFile]:
        """Return what the program was not given."""
        return await self._known.list_skipped(user_id, project_id, limit=limit, after=after)

    @override
    async def find_fault(
        self, user_id: UserId, project_id: ProjectId, *, deep: bool
    ) -> str | None:
        return await self._known.find_fault(user_id, project_id, deep=deep)

    @override
    async def close(self) -> None:
        await self._known.close()


class Program:
    """The operator's program, for one project."""

    def __init__(
        self,
        command: Sequence[str],
        find_runner: FindRunner,
        root: Path,
        environment: Mapping[str, str],
        memory_bytes: int,
    ) -> None:
        """Take what is run, by whom, where, what is told to it, and how much it may take."""
        self._command = command
        self._memory_bytes = memory_bytes
        self._find_runner = find_runner
        self._root = root
        self._environment = environment
        self._last_line = ""

    @property
    def activity(self) -> dict[str, Any]:
        """What its last line says of its progress."""
        line = self._last_line
        activity: dict[str, Any] = {"message": self._said() or "the index program runs"}
        if counted := _COUNT.search(line):
            done, total = map(int, counted.groups())
            activity |= {"done": done, "total": total, "unit": "files"}
        elif share := _PERCENT.search(line):
            activity["percent"] = min(100, int(share[1]))
        return activity

    def find(self) -> Path:
        """Return its place, from where the server runs; blocks.

        Raises:
            JobFailure: it is not there (CFG-001).
        """
        found = shutil.which(self._command[0])
        if found is None:
            message = f"the index program {Path(self._command[0]).name} is not installed"
            raise JobFailure(message, code="CFG-001")
        # A relative path would lead to a stranger's file where the program runs.
        return Path(found).absolute()

    async def index(self, place: Path, commit: str, *, is_full: bool) -> None:
        """Run it, which lies at *place*, to its good end.

        Raises:
            JobFailure: it failed (IDX-003).
        """
        told = {"CIDXJ_COMMIT": commit, "CIDXJ_FULL": "1" if is_full else "0"}
        most = math.ceil(self._memory_bytes / _KIBIBYTE) if self._memory_bytes else "unlimited"
        bounded = f'ulimit -v {most}; exec "$@" 2>&1'
        runner = self._find_runner()
        if runner is None:
            message = "the server is not open"
            raise RuntimeError(message)
        try:
            await runner.run(
                ["sh", "-c", bounded, "sh", str(place), *self._command[1:]],
                timeout=_SECONDS,
                cwd=self._root,
                env={**self._environment, **told, **_AMONG_STRANGERS},
                on_line=self._hear,
            )
        except JobFailure as failure:
            line = self._said()
            message = "the index program failed" + (f": {redact(line)}" if line else "")
            raise JobFailure(message, code="IDX-003") from failure

    def _hear(self, line: str) -> None:
        # It may write a million lines: only the last one is looked at, and only now and then.
        self._last_line = line

    def _said(self) -> str:
        shown = self._last_line[:_SHOWN_CHARACTERS]
        return "".join(part if part.isprintable() else "?" for part in shown)


class CommandDraft(IndexDraft):
    """The next commit for the program (`IndexDraft`)."""

    def __init__(self, known: FtsDraft, tree: FileTree, program: Program) -> None:
        """Take what is known of the files, where they lie, and the program."""
        self._known = known
        self._tree = tree
        self._program = program
        self._pending: Sequence[TreeEntry] = ()
        self._unwritten: list[str] = []
        self._last_path = ""

    @property
    @override
    def is_full(self) -> bool:
        """True when the program is told to begin anew."""
        return self._known.is_full

    @override
    async def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        changes = await self._known.compare(tree, max_file_bytes)
        database = self._known.database
        gone = await self._known.do(database.list_gone)
        await self._known.do(lambda: self._tree.begin(gone, is_new=self.is_full))
        return replace(changes, wanted=await self._known.do(database.count_due), staged=0)

    @override
    async def take_wanted(self, max_files: int, max_bytes: int) -> Sequence[WantedFile]:
        database = self._known.database
        due = await self._known.do(lambda: database.list_due(self._last_path, max_files))
        total = 0
        taken: list[TreeEntry] = []
        for entry in due:
            total += entry.size or 0
            if taken and total > max_bytes:
                break
            taken.append(entry)
            self._last_path = entry.path
        self._pending = taken
        return [WantedFile(entry.path, entry.blob, entry.size or 0) for entry in taken]

    @override
    async def add(self, documents: Iterable[Document]) -> None:
        """Write the files that were taken last; *documents* in their order."""
        await self._known.do(lambda: self._write(documents))

    @override
    async def publish(self, commit: str, note: JsonObject) -> Publication:
        """Run the program, and remember what it was given.

        Raises:
            JobFailure: it failed (IDX-003) or is not there (CFG-001).
        """
        place = await self._known.do(self._program.find)
        await self._program.index(place, commit, is_full=self.is_full)
        await self._known.do(self._known.database.add_without_texts)
        await self._known.do(lambda: self._known.database.add_unwritten(self._unwritten))
        publication = await self._known.publish(commit, note)
        await self._known.do(self._tree.finish)
        return publication

    @override
    def activity(self) -> JsonObject:
        """Return what the program's last lines say."""
        return self._program.activity

    @override
    async def discard(self) -> None:
        """Throw the draft away; the files are made anew by the next one."""
        await self._known.discard()

    def _write(self, documents: Iterable[Document]) -> None:
        for entry, document in zip(self._pending, documents, strict=True):
            if not self._tree.write(entry.path, entry.mode, document.data):
                self._unwritten.append(entry.path)
