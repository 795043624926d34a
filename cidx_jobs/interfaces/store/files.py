"""Where copies of repositories and their indexes are kept: in directories, one for each copy."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeAlias

from cidx_jobs.model.ids import CopyId, ProjectId, UserId

ProjectKey: TypeAlias = tuple[UserId, ProjectId]


class CopyFiles(Protocol):
    """The directories of copies with their indexes, for those who work there and remove them."""

    def hold(self, copy_id: CopyId) -> AbstractAsyncContextManager[None]:
        """Work on a copy, one at a time: whoever comes meanwhile waits.

        What is searched just now is searched to its end, whoever holds the copy.
        """

    def is_held(self, copy_id: CopyId) -> bool:
        """Return whether somebody works on a copy just now."""

    def take_over(self, old: CopyId, new: CopyId) -> bool:
        """Let all that lies there as *old* be *new*; blocks, and the caller holds both.

        False, and nothing is changed, where there is something of *new*, or nothing of *old*.
        """

    async def release(self, copy_id: CopyId, but: Collection[ProjectKey] = ()) -> bool:
        """Remove a copy unless a project names it, or somebody works on it.

        It is out of everybody's sight at once, and deleted then. False: it stays, or there is
        none.

        Args:
            copy_id: which.
            but: projects, each as user and project id, that may name it all the same.
        """

    def has_foreign(self, copy_id: CopyId) -> bool:
        """Return whether the server may not read or change what lies there; blocks.

        So it is after a restore as another user of the system.
        """

    async def find_unused(self, before: datetime) -> Sequence[CopyId]:
        """Return the copies for which no sync was begun since."""

    def clear(self) -> None:
        """Delete what was taken away; blocks. What is left by a kill goes at the next start."""
