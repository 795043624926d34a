"""Index kept by an operator's program: it gets the files, and reports its progress.

The files of the last synced commit lie in a directory of the copy, and the program runs there.
Only files that changed are written anew, so a program that goes by times, or keeps things of its
own in the directory, can do so. What it makes of them is its own: there is nothing to search here.
"""

import contextlib
import math
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from typing_extensions import override

from cidx_jobs.interfaces.index import IndexDraft, Indexer
from cidx_jobs.interfaces.run import ChildResult
from cidx_jobs.model.errors import JobFailure, NotIndexedError
from cidx_jobs.model.findings import ServerWarning
from cidx_jobs.model.ids import CopyId, JobId
from cidx_jobs.model.index import (
    Document,
    DraftRequest,
    IndexState,
    Publication,
    SearchPage,
    SearchRequest,
    SkippedFile,
    TreeChanges,
    TreeEntry,
    WantedFile,
)
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.settings import DataDirectory, Settings, read_variables
from cidx_jobs.store.index.draft import FtsDraft
from cidx_jobs.store.index.fts import FtsIndexer
from cidx_jobs.store.index.program_files import FileTree
from cidx_jobs.store.index.program_output import ProgramOutput

_SECONDS = 30 * 86_400.0
"""As long as any job may take: its own time-out comes first."""
# The program starts among foreign files. Python would take modules from where it is started, or
# lies; git would take a directory that looks like a bare repository for one, with its commands.
_AMONG_STRANGERS = {
    "PYTHONSAFEPATH": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.bareRepository",
    "GIT_CONFIG_VALUE_0": "explicit",
}
_KIBIBYTE = 1024
_LAYING_SHARE = 0.1
"""How much of the phase it is to lay the files out."""
_NAMED = 100
"""So many files that the program was given, or was not, are named in the result."""


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
        variables=settings.index_command_environment,
    )


def find_missing_program(settings: Settings) -> Sequence[ServerWarning]:
    """Return the warning of an index program that is not there; it blocks."""
    command = settings.index_command
    if command is None or _find_program(command) is not None:
        return ()
    message = f"index_command: there is no program {command[0]}: every sync fails"
    return (ServerWarning(code="index_command_missing", message=message),)


class CommandIndexer(Indexer):
    """Hands the files of copies to a program (`Indexer`).

    The program runs in the directory with the files, with ``CIDXJ_COMMIT``, ``CIDXJ_PROJECT`` and
    ``CIDXJ_USER`` (of the job: others may share the copy) and ``CIDXJ_FULL`` in its environment:
    1 where the directory was empty or emptied, and it shall begin anew, else 0; and the operator's
    variables (`index_command_environment`).
    What it keeps in the directory stays over failed, cancelled and cut-off runs; only a full
    reindex empties it, once for its job. `ProgramOutput` says how its output is understood. An end
    with another code than 0 is a failure, and the next sync tries again.
    """

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        find_runner: FindRunner,
        *,
        memory_bytes: int,
        variables: Sequence[str] = (),
    ) -> None:
        """Keep the files of all copies below *directory*, and run *command* there.

        Each of its processes may take *memory_bytes* of address space; 0 is as much as there is.
        It gets the *variables* of the server's environment.
        """
        self._variables = tuple(variables)
        self._directory = directory
        self._command = tuple(command)
        self._memory_bytes = memory_bytes
        self._find_runner = find_runner
        # Which file is where is known from an index of the built-in kind, without texts.
        self._known = FtsIndexer(directory)

    @override
    async def load_state(self, copy_id: CopyId) -> IndexState | None:
        """Return what the program was given last."""
        return await self._known.load_state(copy_id)

    @override
    @contextlib.asynccontextmanager
    async def draft(self, request: DraftRequest) -> AsyncIterator["CommandDraft"]:
        """Begin to give the program the next commit."""
        tree = FileTree(self._directory / request.copy_id / "tree")
        job_id, full = request.job_id, request.full
        # What an unfinished draft wrote belongs to no commit that is known: all files are looked
        # at again, and what the program keeps beside them stays.
        is_torn = await self._known.do(tree.is_torn)
        wants_empty = full and not await self._known.do(lambda: tree.was_emptied_by(job_id))
        passed = read_variables(self._variables)
        whose = {"CIDXJ_PROJECT": request.project_id, "CIDXJ_USER": request.user_id}
        environment = {**passed, **whose}
        async with self._known.draft(replace(request, full=full or is_torn)) as known:
            program = Program(
                self._command, self._find_runner, tree.root, environment, self._memory_bytes
            )
            yield CommandDraft(known, tree, program, job_id, empties=wants_empty)

    @override
    async def search(self, request: SearchRequest) -> SearchPage:
        """Raise `NotIndexedError`: only the program can search what it made."""
        raise NotIndexedError(request.project_id)

    @override
    async def list_skipped(
        self, copy_id: CopyId, *, limit: int, after: str = ""
    ) -> Sequence[SkippedFile]:
        """Return what the program was not given."""
        return await self._known.list_skipped(copy_id, limit=limit, after=after)

    @override
    async def find_fault(self, copy_id: CopyId, *, deep: bool) -> str | None:
        return await self._known.find_fault(copy_id, deep=deep)

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
        self.output = ProgramOutput()

    def find(self) -> Path:
        """Return its place, from where the server runs; blocks.

        Raises:
            JobFailure: it is not there (CFG-001).
        """
        found = _find_program(self._command)
        if found is None:
            message = f"the index program {Path(self._command[0]).name} is not installed"
            raise JobFailure(message, code="CFG-001")
        return found

    async def run(self, place: Path, commit: str, *, is_emptied: bool) -> None:
        """Run it, which lies at *place*, to its good end.

        Raises:
            JobFailure: it failed (IDX-003).
        """
        told = {"CIDXJ_COMMIT": commit, "CIDXJ_FULL": "1" if is_emptied else "0"}
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
                on_line=self.output.hear,
            )
        except JobFailure as failure:
            line = self.output.last_line
            message = "the index program failed" + (f": {line}" if line else "")
            lines = self.output.last_lines
            raise JobFailure(message, code="IDX-003", output=lines) from failure


def _find_program(command: Sequence[str]) -> Path | None:
    found = shutil.which(command[0])
    # A relative path would lead to a stranger's file where the program runs.
    return None if found is None else Path(found).absolute()


class CommandDraft(IndexDraft):
    """The next commit for the program (`IndexDraft`)."""

    def __init__(
        self, known: FtsDraft, tree: FileTree, program: Program, job_id: JobId, *, empties: bool
    ) -> None:
        """Take what is known of the files, where they lie, the program, and whose draft it is.

        Where it *empties* the directory, nothing stays of what the program keeps.
        """
        self._known = known
        self._tree = tree
        self._program = program
        self._job_id = job_id
        self._empties = empties
        self._pending: Sequence[TreeEntry] = ()
        self._given: list[str] = []
        self._given_total = 0
        self._unwritten: list[str] = []
        self._last_path = ""

    @property
    @override
    def is_full(self) -> bool:
        """True when all files are looked at."""
        return self._known.is_full

    @override
    async def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        changes = await self._known.compare(tree, max_file_bytes)
        database = self._known.database
        gone = await self._known.do(database.list_gone)
        is_torn = await self._known.do(self._tree.is_torn)
        # Where nobody knows any more which of the files are ours, all of them go.
        empties = self._empties or not (database.has_base or is_torn)
        empties_for = self._job_id if empties else None
        await self._known.do(self._tree.begin, gone, database.list_not_due, empties_for)
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

    @property
    @override
    def added(self) -> int:
        """How many files were written."""
        return self._given_total + len(self._unwritten)

    @property
    @override
    def adding_share(self) -> float:
        """Little: what the program does takes longer than to lay the files out."""
        return _LAYING_SHARE

    @override
    async def work(self, commit: str) -> Sequence[str]:
        """Run the program.

        Raises:
            JobFailure: it failed (IDX-003) or is not there (CFG-001).
        """
        place = await self._known.do(self._program.find)
        is_emptied = await self._known.do(self._tree.tell_emptied)
        await self._program.run(place, commit, is_emptied=is_emptied)
        return self._program.output.warnings

    @override
    async def publish(self, commit: str, note: JsonObject) -> Publication:
        """Remember what the program was given; the result names it, and what was left out."""
        await self._known.do(self._known.database.add_without_texts)
        await self._known.do(self._known.database.add_unwritten, self._unwritten)
        left_out, total = await self._known.do(self._known.database.list_left_out, _NAMED)
        told = {
            "given": self._given,
            "given_total": self._given_total,
            "left_out": left_out,
            "left_out_total": total,
        }
        publication = await self._known.publish(commit, {**note, "program": told})
        await self._known.do(self._tree.finish)
        return publication

    @override
    def activity(self) -> JsonObject:
        """Return what the program's last lines say; laying out the files was before."""
        told = self._program.output.progress
        if "percent" in told:
            rest = (1 - _LAYING_SHARE) * told["percent"]
            told["percent"] = 100 * _LAYING_SHARE + rest
        return told

    @override
    async def discard(self) -> None:
        """Throw the draft away; the files are made anew by the next one."""
        await self._known.discard()

    def _write(self, documents: Iterable[Document]) -> None:
        # First what is to be written, then the files: a run that is cut off leaves no unknown one.
        self._tree.note(entry.path for entry in self._pending)
        for entry, document in zip(self._pending, documents, strict=True):
            if not self._tree.write(entry.path, entry.mode, document.data):
                self._unwritten.append(entry.path)
                continue
            self._given_total += 1
            if len(self._given) < _NAMED:
                self._given.append(entry.path)
