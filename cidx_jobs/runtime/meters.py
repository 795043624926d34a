"""Meters: what is counted and timed while the server works, for whoever asks for its metrics.

Plain numbers, changed on the event loop alone: to count costs a fraction of a microsecond, and
needs no library.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import attrs

MAX_VALUES = 100
"""How many values a label has that somebody else chooses; what comes after them is `OTHER`."""
OTHER = "other"

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Bounds of what takes milliseconds: commits, requests, the loop's lag."""
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400)
"""Bounds of what may take a day: waits, runs, phases."""
_JOBS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Histogram:
    """How many values were up to each of some bounds, and what they make together."""

    def __init__(self, bounds: Sequence[float] = _SECONDS) -> None:
        """Begin empty; *bounds* grow."""
        self.bounds = bounds
        self.counts: list[int] = [0] * (len(bounds) + 1)
        """How many were up to the bound at the same place, and over the one before it; the last
        is of those over all bounds."""
        self.sum: float = 0.0

    def add(self, value: float) -> None:
        """Take one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Values:
    """The values of a label that others choose: the first hundred, and one for all the rest."""

    def __init__(self) -> None:
        """Begin without one."""
        self._known: set[str] = set()

    def bounded(self, value: str) -> str:
        """Return the value as it is shown."""
        if value in self._known:
            return value
        if len(self._known) >= MAX_VALUES:
            return OTHER
        self._known.add(value)
        return value


@attrs.define(eq=False)
class Meters:
    """All that is counted and timed in one server."""

    commits: Histogram = attrs.field(factory=Histogram)
    """Seconds that a transaction of the writer took."""
    batches: Histogram = attrs.field(factory=lambda: Histogram(_JOBS))
    """How many changes shared one."""
    loop_lag: Histogram = attrs.field(factory=Histogram)
    """Seconds by which the event loop was late."""
    waits: Histogram = attrs.field(factory=lambda: Histogram(_LONG_SECONDS))
    """Seconds from a job's queueing to its start."""
    runs: Histogram = attrs.field(factory=lambda: Histogram(_LONG_SECONDS))
    """Seconds of a run."""
    phases: dict[str, Histogram] = attrs.field(factory=dict)
    """Seconds of phases by name."""
    ends: dict[tuple[str, str, str], int] = attrs.field(factory=dict)
    """Ended runs and jobs by job type, outcome and code."""
    requests: Counter[tuple[str, str, str]] = attrs.field(factory=Counter)
    """Answered requests by route, method and status."""
    request_seconds: dict[str, Histogram] = attrs.field(factory=dict)
    """Seconds of requests by route; who waits in a long poll counts, too."""
    _job_types: Values = attrs.field(factory=Values)
    _codes: Values = attrs.field(factory=Values)
    _phase_names: Values = attrs.field(factory=Values)

    def count_commit(self, seconds: float, changes: int) -> None:
        """Count a transaction of the writer."""
        self.commits.add(seconds)
        self.batches.add(changes)

    def count_end(self, job_type: str, outcome: str, code: str) -> None:
        """Count the end of a run or a job."""
        end = self._job_types.bounded(job_type), outcome, self._codes.bounded(code)
        self.ends[end] = self.ends.get(end, 0) + 1

    def count_phase(self, name: str, seconds: float) -> None:
        """Count a phase that is over."""
        known = self._phase_names.bounded(name)
        histogram = self.phases.get(known)
        if histogram is None:
            histogram = self.phases[known] = Histogram(_LONG_SECONDS)
        histogram.add(seconds)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; a method that nobody knows is one of the rest."""
        known = method if method in _METHODS else OTHER
        self.requests[route, known, str(status)] += 1
        histogram = self.request_seconds.get(route)
        if histogram is None:
            histogram = self.request_seconds[route] = Histogram()
        histogram.add(seconds)
