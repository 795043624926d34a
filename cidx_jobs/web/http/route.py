"""What the table of all routes is made of: who may call what, and what answers."""

from collections.abc import Sequence

import attrs

from cidx_jobs.web.http.endpoint import Answer


@attrs.frozen
class Route:
    """One method of one path, and who may use it."""

    method: str
    path: str
    """Below the prefix."""
    scope: str | None
    """``read``, ``write``, ``admin``, or None for everybody."""
    answer: Answer

    @property
    def key(self) -> str:
        """By what the route's `Operation` is found."""
        return f"{self.method} {self.path}"


Table = Sequence[tuple[str, Route]]
"""Each route with its whole path."""
