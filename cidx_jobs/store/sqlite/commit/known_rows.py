"""Known rows: what the writer remembers of rows that it has written, so as not to look for them.

A job's row never changes its number, and what is remembered is forgotten whenever a batch comes to
nothing; where it is not known, the database is asked.
"""

from collections.abc import Iterable, Mapping

MAX_JOBS = 20_000
"""How many jobs are remembered; then all are forgotten, and those that go on looked for again."""

MAX_USERS = 20_000
"""The same of users."""

BLOCK_BITS = 10
"""A block of the log has so many bits of its numbers: 1,024 rows."""

UserBlock = tuple[str, int]
"""A user, and a block of the log in which they have rows."""


class KnownRows:
    """The rows of late jobs, who has rows in the newest block of the log, and bytes of users."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._jobs: dict[str, int] = {}
        self._blocks: set[UserBlock] = set()
        self._bytes: dict[str, int] = {}
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

    def note_bytes(self, user_id: str, size: int) -> None:
        """Remember how many bytes are stored of a user, as it was read."""
        if len(self._bytes) >= MAX_USERS:
            self._bytes.clear()
        self._bytes[user_id] = size

    def charge(self, charged: Mapping[str, int]) -> None:
        """Learn by how much the bytes of users have changed with what is committed."""
        for user_id, size in charged.items():
            if user_id in self._bytes:
                self._bytes[user_id] = max(0, self._bytes[user_id] + size)

    def find_bytes(self, user_id: str) -> int | None:
        """Return how many bytes are stored of the user."""
        return self._bytes.get(user_id)

    def forget(self) -> None:
        """Forget all: what was written has been rolled back, or was changed besides."""
        self._jobs.clear()
        self._blocks.clear()
        self._bytes.clear()
