"""The phases of a sync: their shares of the whole, and how long each takes."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any

from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.run import JobContext, PhaseReporter

PREPARING = "preparing"
GIT_SYNC = "git_sync"
CHANGE_DETECTION = "change_detection"
INDEXING = "indexing"
VALIDATION = "validation"

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {PREPARING: 0.05, GIT_SYNC: 0.35, CHANGE_DETECTION: 0.05, INDEXING: 0.45, VALIDATION: 0.10}
)
"""The shares of a first sync."""

_TRUST = 0.5
"""How much the last sync's times count; the rest is the first sync's shares."""


def weigh_phases(
    names: Sequence[str], seconds_before: Mapping[str, Any]
) -> Sequence[tuple[str, float]]:
    """Return the phases with their shares, which sum to 1.

    Args:
        names: the phases that will be gone through, in order.
        seconds_before: how long phases took in the project's last sync; may lack some.
    """
    known = {name: seconds_before.get(name) for name in names}
    times = {name: float(value) for name, value in known.items() if isinstance(value, Real)}
    whole = sum(times.values())
    usual = sum(WEIGHTS[name] for name in names)
    shares = {name: WEIGHTS[name] / usual for name in names}
    if len(times) == len(names) and whole > 0:
        shares = {
            name: (1 - _TRUST) * share + _TRUST * times[name] / whole
            for name, share in shares.items()
        }
    return [(name, round(share, 4)) for name, share in shares.items()]


class SyncPhases:
    """Goes through the planned phases of one run, and keeps how long each took."""

    def __init__(self, context: JobContext, clock: Clock) -> None:
        """Begin with nothing planned."""
        self._context = context
        self._clock = clock
        self._weights: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        """Of the phases that have ended."""

    def plan(self, weights: Sequence[tuple[str, float]]) -> None:
        """Show the phases of the run with their shares."""
        self._weights = dict(weights)
        self._context.plan(weights)

    @property
    def planned(self) -> Sequence[str]:
        """The names of all phases of the run, in order."""
        return tuple(self._weights)

    @contextlib.asynccontextmanager
    async def enter(self, name: str) -> AsyncIterator[PhaseReporter]:
        """Be in a phase for the length of the block."""
        began = self._clock.monotonic()
        async with self._context.phase(name, self._weights[name]) as phase:
            yield phase
        elapsed = self._clock.monotonic() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + elapsed, 3)
