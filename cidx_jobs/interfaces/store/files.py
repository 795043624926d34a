"""Where the files of projects are kept: their copies and indexes, in directories."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cidx_jobs.model.ids import ProjectId, UserId
from cidx_jobs.model.listing import Project


class ProjectFiles(Protocol):
    """The directories of projects, with their copies and indexes, for whoever removes them.

    Nobody takes away what a job works on: a look at the project's jobs comes first, in the same
    turn of the loop.
    """

    async def take_away(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Move all that lies there of a project out of everybody's sight; False: there is nothing.

        From its first step on, a run that begins waits for its end in `settle`. What is searched
        just now is searched to its end.
        """

    async def settle(self, user_id: UserId, project_id: ProjectId) -> None:
        """Return once nothing of the project is being taken away."""

    def has_foreign(self, user_id: UserId, project_id: ProjectId) -> bool:
        """Return whether the server may not read or change what lies there; blocks.

        So it is after a restore as another user of the system.
        """

    def find_unused(self, projects: Sequence[Project], before: datetime) -> Sequence[Project]:
        """Return those whose files are there, and which no sync was begun for since; blocks."""

    def take_nobodys(self, projects: Sequence[Project]) -> None:
        """Move out of sight what belongs to none of these, which are all there are; blocks."""

    def clear(self) -> None:
        """Delete what was taken away; blocks. What is left by a kill goes at the next start."""
