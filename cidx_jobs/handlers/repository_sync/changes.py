"""Phase change detection: the tree of a commit against what the index shows."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from cidx_jobs.handlers.git.commands import LISTING_SECONDS, Git
from cidx_jobs.handlers.git.errors import find_failure
from cidx_jobs.handlers.git.objects import LIST_TREE, read_tree
from cidx_jobs.handlers.git.project_copy import ProjectCopy
from cidx_jobs.handlers.repository_sync.fetch import Target
from cidx_jobs.handlers.repository_sync.report_while import follow
from cidx_jobs.interfaces.index import IndexDraft
from cidx_jobs.interfaces.run import PhaseReporter
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.model.index import TreeChanges, TreeEntry
from cidx_jobs.settings import Settings

_MAX_TO_PAIR = 5_000
"""With more files both new and gone no renames are looked for: git compares each with each."""


class ChangeDetection:
    """Finds out what a draft has to do.

    Trees are compared, not histories: so it makes no difference whether the last indexed commit
    is an ancestor, was rewritten, or is gone.
    """

    def __init__(self, git: Git, copy: ProjectCopy, settings: Settings) -> None:
        """Take the copy to look into, and how much is taken."""
        self._git = git
        self._copy = copy
        self._settings = settings

    async def run(
        self, draft: IndexDraft, phase: PhaseReporter, before: str | None, target: Target
    ) -> TreeChanges:
        """Return the draft the tree of *target*, and say how it differs from what searches see.

        Args:
            draft: the index's next state.
            phase: is told of the progress.
            before: the commit that searches see.
            target: the commit to come.

        Raises:
            JobFailure: there are too many files (RES-003), they are too large together
                (RES-004), or the copy is damaged (GIT-005).
        """
        changes = await self._compare(draft, phase, target.tree)
        most = self._settings.max_repository_bytes
        if changes.total_bytes > most:
            message = f"the files take {changes.total_bytes} bytes; this server takes {most}"
            raise JobFailure(message, code="RES-004")
        changes = await self._find_renames(changes, before, target.commit)
        await phase.report(percent=100, message=_sentence(changes))
        return changes

    async def _compare(self, draft: IndexDraft, phase: PhaseReporter, tree: str) -> TreeChanges:
        async with self._git.stream(
            self._copy.repository, [*LIST_TREE, tree], LISTING_SECONDS
        ) as child:
            entries = _CountedTree(read_tree(child.output, self._settings.max_files))
            changes = await follow(
                draft.compare(entries, self._settings.max_file_bytes),
                lambda: phase.report(message=f"{entries.count} files listed"),
            )
            ended = await child.wait()
        if ended.returncode != 0:
            raise find_failure(ended, "the repository")
        return changes

    async def _find_renames(
        self, changes: TreeChanges, before: str | None, commit: str
    ) -> TreeChanges:
        """Count files that were moved and changed as renamed, if the old commit is still there.

        The trees alone only show the files that were moved unchanged. It is one number of the
        result: where the search takes too much, they alone count.
        """
        candidates = min(changes.added, changes.deleted)
        if before is None or not 0 < candidates <= _MAX_TO_PAIR:
            return changes
        if await self._git.find_commit(self._copy.repository, before) is None:
            return changes
        try:
            found = await self._git.count_renames(self._copy.repository, before, commit)
        except JobFailure:
            return changes
        moved = max(0, min(found - changes.renamed, candidates))
        return replace(
            changes,
            renamed=changes.renamed + moved,
            added=changes.added - moved,
            deleted=changes.deleted - moved,
        )


class _CountedTree:
    """The entries of a tree, counted as another thread goes through them."""

    def __init__(self, entries: Iterable[TreeEntry]) -> None:
        self._entries = entries
        self.count = 0

    def __iter__(self) -> Iterator[TreeEntry]:
        for entry in self._entries:
            self.count += 1
            yield entry


def _sentence(changes: TreeChanges) -> str:
    return (
        f"{changes.added} added, {changes.modified} modified, {changes.renamed} renamed, "
        f"{changes.deleted} deleted, {changes.total} in all"
    )
