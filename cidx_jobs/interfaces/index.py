"""Full-text index of a copy: its next state, and searches in it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cidx_jobs.model.ids import CopyId
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


class IndexDraft(Protocol):
    """The next state of one copy's index; searches see nothing of it until it is published.

    All that was added is durable when `add` returns, and a later draft for the same job finds it.
    Every method raises `JobFailure` (IDX-001, IDX-002 or RES-001) when the index cannot be
    written or is damaged.
    """

    @property
    def is_full(self) -> bool:
        """True when the index is made anew, not changed."""

    async def compare(self, tree: Iterable[TreeEntry], max_file_bytes: int) -> TreeChanges:
        """Take the tree that the index shall show; *tree* is iterated in another thread.

        Of a path that comes twice, in a broken tree, the first entry counts.
        """

    async def take_wanted(self, max_files: int, max_bytes: int) -> Sequence[WantedFile]:
        """Return the next files to add, by path, at least one while there are any."""

    async def add(self, documents: Iterable[Document]) -> None:
        """Add contents, the next of those taken; *documents* is iterated in another thread.

        Of those that were iterated at most 8 MB, or as much as the largest takes, are not durable
        yet: whatever cuts it off, the next run asks for no more than these again.
        """

    @property
    def added(self) -> int:
        """How many contents were added durably by this draft; also while `add` is at work."""

    @property
    def adding_share(self) -> float:
        """How much of the work it is to add contents, from 0 to 1; `work` is the rest."""

    async def work(self, commit: str) -> Sequence[str]:
        """Let whoever else keeps the index do its part, after everything was added.

        Returns what it warns of.

        Raises:
            JobFailure: it failed (IDX-003), or is not there (CFG-001).
        """

    async def publish(self, commit: str, note: JsonObject) -> Publication:
        """Check that the draft is whole and sound, and make it what searches see, at once.

        *note* is kept with it, with ``files_indexed`` and ``files_skipped`` added.

        Raises:
            JobFailure: it is not (IDX-002); searches go on seeing the index as it was.
        """

    def activity(self) -> JsonObject:
        """Return what `work` or `publish` is about just now, as arguments of a progress report."""

    async def discard(self) -> None:
        """Throw the draft away: nobody will go on with it."""


class Indexer(Protocol):
    """Keeps one searchable index for each copy."""

    async def load_state(self, copy_id: CopyId) -> IndexState | None:
        """Return what the index holds; None when there is none or it cannot be read."""

    def draft(self, request: DraftRequest) -> AbstractAsyncContextManager[IndexDraft]:
        """Begin the index's next state, or go on with what an earlier run of the job left.

        One at a time for a copy. It is made anew also where the index is damaged or of another
        format.
        """

    async def search(self, request: SearchRequest) -> SearchPage:
        """Return the lines that hold the text, letter case aside, by path and then line.

        Raises:
            NotIndexedError: there is nothing to search yet.
            IndexDamagedError: the index is damaged; the next sync makes it anew.
            ValidationError: the text is shorter than three characters (pointer ``/q``).
            InvalidParameterError: the search would take too long.
            UnavailableError: too many of the user's searches run at a time, or the server may
                not read the index.
        """

    async def list_skipped(
        self, copy_id: CopyId, *, limit: int, after: str = ""
    ) -> Sequence[SkippedFile]:
        """Return what of the commit is not in the index, by path; those behind *after*."""

    async def find_fault(self, copy_id: CopyId, *, deep: bool) -> str | None:
        """Return what is wrong with the index, if anything; the next draft then makes it anew.

        *deep* reads all of it; else a large one is only looked into.
        """

    async def close(self) -> None:
        """Let go of threads and files; closing twice is fine, and it can be used again."""
