"""Phase indexing: the files that the index lacks, from git into the draft, in batches."""

from collections.abc import Iterator, Mapping, Sequence

from cidx_jobs.handlers.git.commands import Git
from cidx_jobs.handlers.git.objects import READ_FILES, read_files
from cidx_jobs.handlers.git.project_copy import ProjectCopy
from cidx_jobs.handlers.process.children import ChildStream
from cidx_jobs.handlers.repository_sync.encodings import Encodings
from cidx_jobs.handlers.repository_sync.report_while import follow
from cidx_jobs.interfaces.index import IndexDraft
from cidx_jobs.interfaces.run import JobContext, PhaseReporter
from cidx_jobs.model.foreign import printable
from cidx_jobs.model.index import Document, TreeChanges, WantedFile
from cidx_jobs.model.job.job import JsonObject

_BATCH_FILES = 20_000
_BATCH_BYTES = 32 * 1024 * 1024
"""So much is asked for at a time; the draft makes it durable in smaller parts."""


class FileIndexing:
    """Adds the wanted files to a draft, and tells how far it is."""

    def __init__(self, context: JobContext, draft: IndexDraft, changes: TreeChanges) -> None:
        """Take where to, and how much there is to do."""
        self._context = context
        self._draft = draft
        self._total = changes.wanted
        self._staged = changes.staged
        self._saved = 0
        self._current: str | None = None
        self._share = draft.adding_share

    async def run(
        self, git: Git, copy: ProjectCopy, phase: PhaseReporter, checkpoint: JsonObject
    ) -> None:
        """Add everything, and let checkpoints say how much of it is durable.

        Raises:
            JobFailure: the copy lacks a file (GIT-005), or the index cannot be written.
        """
        self._phase = phase
        self._checkpoint = checkpoint
        if not self._total:
            return
        encodings = Encodings(git, copy.repository, checkpoint["tree"])
        await encodings.prepare()
        async with git.stream(copy.repository, READ_FILES, None) as child:
            while batch := await self._draft.take_wanted(_BATCH_FILES, _BATCH_BYTES):
                named = await encodings.find(batch)
                await follow(self._draft.add(self._read(child, batch, named)), self._report)
        await encodings.forget()

    def _read(
        self, child: ChildStream, batch: Sequence[WantedFile], encodings: Mapping[str, str]
    ) -> Iterator[Document]:
        # Runs in the draft's thread; the loop only reads the value it sets.
        documents = read_files(child.input, child.output, batch)
        for file, document in zip(batch, documents, strict=True):
            self._current = file.path
            named = encodings.get(file.path)
            yield document if named is None else document._replace(encoding=named)

    async def _report(self) -> None:
        done, total = self._staged + self._draft.added, self._staged + self._total
        if done > self._saved:
            self._saved = done
            await self._context.save_checkpoint({**self._checkpoint, "files_done": done})
        await self._phase.report(
            done=done,
            total=total,
            unit="files",
            current_item=None if self._current is None else printable(self._current),
            message=f"{done} of {total} files",
            percent=None if self._share == 1 else 100 * self._share * done / total,
        )
