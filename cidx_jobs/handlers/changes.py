"""Change detection: the tree of a commit, against what the index shows."""

import attrs

from cidx_jobs.handlers.copies import ProjectCopy
from cidx_jobs.handlers.git import Git
from cidx_jobs.handlers.git_errors import recognise
from cidx_jobs.handlers.objects import LIST_TREE, read_tree
from cidx_jobs.interfaces import IndexDraft, TreeChanges
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.settings import Settings

_MAX_TO_PAIR = 5_000


async def detect_changes(
    git: Git, copy: ProjectCopy, commit: str, draft: IndexDraft, settings: Settings
) -> TreeChanges:
    """Give the draft the tree of *commit*, and say how it differs from what searches see.

    Trees are compared, not histories: so it makes no difference whether the last indexed commit
    is an ancestor, was rewritten, or is gone.

    Raises:
        JobFailure: there are too many files (RES-003), they are too large together (RES-004),
            or the copy is damaged (GIT-005).
    """
    async with git.stream(copy.repository, [*LIST_TREE, commit]) as child:
        changes = await draft.compare(
            read_tree(child.output, settings.max_files), settings.max_file_bytes
        )
        ended = await child.wait()
    if ended.returncode != 0:
        raise recognise(ended.stderr, "the repository")
    if changes.total_bytes > settings.max_repository_bytes:
        message = (
            f"the files take {changes.total_bytes} bytes, "
            f"more than the {settings.max_repository_bytes} that this server takes"
        )
        raise JobFailure(message, code="RES-004")
    return changes


async def find_renames(
    git: Git, copy: ProjectCopy, changes: TreeChanges, before: str | None, commit: str
) -> TreeChanges:
    """Count files that were moved and changed as renamed, if the old commit is still there.

    The trees alone only show the files that were moved unchanged.
    """
    candidates = min(changes.added, changes.deleted)
    if before is None or not 0 < candidates <= _MAX_TO_PAIR:
        return changes
    if await git.find_commit(copy.repository, before) is None:
        return changes
    more = await git.count_renames(copy.repository, before, commit) - changes.renamed
    moved = max(0, min(more, candidates))
    return attrs.evolve(
        changes,
        renamed=changes.renamed + moved,
        added=changes.added - moved,
        deleted=changes.deleted - moved,
    )
