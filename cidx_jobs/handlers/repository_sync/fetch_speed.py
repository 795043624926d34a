"""Average speed of a fetch: a remote that sends next to nothing holds a place that others need.

curl gives up where nothing comes for a minute, so a few bytes a second, or some each minute, keep
it waiting for ever. Here the average counts, over the whole fetch, once its first minute is over.
"""

import time
from collections.abc import Callable

from cidx_jobs.handlers.process.output import OnLine
from cidx_jobs.model.errors import JobFailure
from cidx_jobs.runtime.blocking import in_own_thread

GRACE_SECONDS = 60.0
"""So long a remote may be slow: it counts and packs what it is about to send."""
_LOOK_SECONDS = 1.0


class FetchSpeed:
    """How much has come of a fetch, by what grows on the disk and by the words of progress."""

    def __init__(
        self,
        url: str,
        min_bytes_per_second: int,
        measure: Callable[[], int],
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Begin to count now.

        Args:
            url: what is fetched, for the sentence.
            min_bytes_per_second: less on average is too slow; 0 is never.
            measure: counts the bytes on the disk; it blocks.
            grace_seconds: how long any speed is taken.
        """
        self._url = url
        self._least = min_bytes_per_second
        self._measure = measure
        self._began = time.monotonic()
        self._next_look = self._began + grace_seconds
        self._come = 0
        self._on_disk = 0

    def hear(self, on_line: OnLine) -> OnLine:
        """Return *on_line*, with the lines it gets counted."""

        def count(line: str) -> None:
            self._come += len(line)
            on_line(line)

        return count

    async def check(self) -> None:
        """Look at the average, once a second.

        Raises:
            JobFailure: it is too slow (NET-004).
        """
        now = time.monotonic()
        if not self._least or now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        on_disk = await in_own_thread(self._measure)
        # What began anew, after a fetch into a damaged copy say, has come all the same.
        self._come += max(0, on_disk - self._on_disk)
        self._on_disk = on_disk
        if self._come < self._least * (now - self._began):
            message = (
                f"{self._url} sends less than {self._least} bytes a second on average "
                "(git_min_bytes_per_second)"
            )
            raise JobFailure(message, code="NET-004")
