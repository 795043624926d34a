"""Known rows: what the writer remembers of rows that it has written, so as not to look for them.

A job's row never changes its number, and what is remembered is forgotten whenever a batch comes to
nothing; where it is not known, the database is asked.
"""

from collections.abc import Iterable

MAX_JOBS = 20_000
"""How many jobs are remembered; then all are forgotten, and those that go on looked for again."""

BLOCK_BITS = 10
"""A block of the log has so many bits of its numbers: 1,024 rows."""

UserBlock = tuple[str, int]
"""A user, and a block of the log in which they have rows."""


class KnownRows:
    """The numbers of the rows of late jobs, and who has rows in the newest blocks of the log."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._jobs: dict[str, int] = {}
        self._blocks: set[UserBlock] = set()
        self._newest = 0

    def note_job(self, job_id: str, row: int) -> None:
        """Remember the row of a job."""
        if len(self._jobs) >= MAX_JOBS:
            self._jobs.clear()
        self._jobs[job_id] = row

    def find_job(self, job_id: str) -> int | None:
        """Return the number of the job's row."""
        return self._jobs.get(job_id)

    def forget_job(self, job_id: str) -> None:
        """Forget a job that will hardly be written again."""
        self._jobs.pop(job_id, None)

    def lacking(self, blocks: set[UserBlock]) -> list[UserBlock]:
        """Return those of the blocks that may not be stored yet, in order."""
        return sorted(blocks - self._blocks)

    def note_blocks(self, blocks: Iterable[UserBlock]) -> None:
        """Remember blocks that are committed: those of the newest numbers."""
        for user_id, block in blocks:
            if block > self._newest:
                self._newest = block
                self._blocks.clear()
            if block == self._newest:
                self._blocks.add((user_id, block))

    def forget(self) -> None:
        """Forget all: something that was written has been rolled back."""
        self._jobs.clear()
        self._blocks.clear()
