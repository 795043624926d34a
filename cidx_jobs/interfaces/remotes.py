"""What is asked of the remotes of projects without a job."""

from collections.abc import Callable
from typing import Protocol

from cidx_jobs.model.listing import Project


class Remotes(Protocol):
    """Knows the code hosts of projects, and asks them."""

    def find_host(self, project: Project) -> str | None:
        """Return the name of the project's code host; None for a repository on this machine.

        Raises:
            ValidationError: its url is not allowed any more.
        """

    async def ask_commit(self, project: Project, on_answer: Callable[[], None]) -> str:
        """Return the newest commit of the project's branch; nothing is fetched or written.

        *on_answer* is called as soon as its host answers.

        Raises:
            JobFailure: the remote cannot be read, or has no such branch.
            ValidationError: its url is not allowed any more.
        """
